import type { StatusReport } from '../../src/agent/status.ts'
import type { SlotName } from '../../src/model/boot-state.ts'
import { pine } from './commands.ts'
import type { TreeCutKit } from './tree-cut-kit.ts'
import { STARTED } from './tree-cut-look.ts'
import { said, startTreeMachine } from './tree-recording.ts'

/**
 * A machine with a disk that a cut left comes up with the release that is expected to start; where that is r2, the same bundle is
 * applied to the disk again. r3 then boots next, and both slots are what they should be. Changes the disk.
 */
export async function followToEnd(kit: TreeCutKit, disk: string, starts: SlotName): Promise<void> {
  const { vm, guest } = startTreeMachine(kit, { disk, serialLog: `${disk}.log` })
  try {
    await guest.up()
    await said(guest, 'cat /usr/share/shop/release', STARTED[starts])
  } finally {
    await vm.kill()
  }
  if (starts === 'b') pine('apply', kit.bundle, '--disk', disk, '--keyring', kit.keys)
  requireEnd(kit, disk)
}

function requireEnd({ commits }: TreeCutKit, disk: string): void {
  const status: StatusReport = JSON.parse(pine('status', '--verify', '--json', '--disk', disk))
  const isEnd = status.slots.every(
    ({ slot, image, verified }) => image?.digest === commits[STARTED[slot]] && verified === true,
  )
  if (!isEnd || status.nextBoot !== 'a') throw new Error(`${disk} ends as ${JSON.stringify(status)}`)
}
