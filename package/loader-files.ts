import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { makeCoreImage } from '../src/boot/grub-core.ts'
import { makeEfiImage } from '../src/boot/grub-efi.ts'
import { realHost } from '../src/host/real-host.ts'

// loader-files FOLDER: our GRUB, for machines that have another one or none.
const [folder = ''] = process.argv.slice(2)
mkdirSync(folder, { recursive: true })
void makeCoreImage(realHost()).then(({ boot, core }) => {
  writeFileSync(join(folder, 'boot.img'), boot)
  writeFileSync(join(folder, 'core.img'), core)
})
void makeEfiImage(realHost()).then((program) => writeFileSync(join(folder, 'grubx64.efi'), program))
