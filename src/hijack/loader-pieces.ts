import { type CoreImage, embedCore } from '../boot/grub-core.ts'
import type { GptPiece } from '../model/gpt.ts'
import { newBootSector } from './boot-sector.ts'
import { SECTOR_BYTES } from './disk-table.ts'

/** Our loader at that sector, and the boot sector that starts it; `sector` has the table that goes with it. */
export function loaderPieces(
  image: CoreImage,
  coreLba: number,
  sector: Uint8Array,
): { core: GptPiece; boot: GptPiece } {
  const { bootCode, core } = embedCore(image, { coreLba, availableBytes: image.core.length })
  return {
    core: { offset: coreLba * SECTOR_BYTES, bytes: core },
    boot: { offset: 0, bytes: newBootSector(sector, bootCode) },
  }
}
