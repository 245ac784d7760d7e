import { APPEND, BOOT_PATH } from '../boot/grub-script.ts'
import { detectFileSystem, requireBootable } from '../build/file-system.ts'
import { digestRegion } from '../core/digest-region.ts'
import { PineError } from '../core/error.ts'
import type { Host } from '../host/host.ts'
import { nativeHashing } from '../host/native.ts'
import { ROLES } from '../model/layout.ts'
import type { ImageRecord } from '../model/records.ts'
import { type BoxFacts, readBoxFacts } from './box-facts.ts'
import { checkCommit } from './commit.ts'
import { type Identity, readIdentity } from './identity.ts'
import { readImageFacts } from './image-facts.ts'
import { efiJournal, type TakeoverJournal } from './journal.ts'
import { type Network, parseNetwork } from './network.ts'
import { numbersFor } from './numbers.ts'
import { type OldSystem, readOldSystem } from './old-system.ts'
import { boxProblems, imageProblems, TABLES } from './preflight.ts'
import { type Problem, stop } from './problem.ts'
import { readNetwork } from './read-network.ts'
import { roomProblem, type Sizes, type Wanted, wantedPartitions } from './wanted.ts'

/** What is to take over. */
export interface TakeoverRequest extends Sizes {
  image: string
  compatible: string
  version: string
  epoch: number
  /** Further kernel arguments of the new system. */
  append: string
  auto: TakeoverJournal['auto']
}

/** A machine as it runs. */
export interface BoxReview {
  facts: BoxFacts
  /** Undefined in a container, and on a machine that is ours. */
  found: Found | undefined
  problems: Problem[]
}

interface Found {
  network: Network
  identity: Identity
  old: OldSystem | undefined
}

/** A machine, an image, and what a takeover would make of them. */
export interface Review extends BoxReview {
  image: Omit<ImageRecord, 'writtenAt'>
  wanted: Wanted[]
}

/** Looks at everything, and changes nothing. */
export async function reviewBox(host: Host): Promise<BoxReview> {
  const facts = await readBoxFacts(host)
  const problems = boxProblems(facts)
  if (facts.container !== '' || facts.isOurs) return { facts, found: undefined, problems }
  const { network, problems: unreachable } = parseNetwork(await readNetwork(host))
  const identity = await readIdentity(host)
  const old = await readOldSystem(host, facts)
  const later = [...(await commitProblems(host, facts)), ...oldSystemProblems(old)]
  const about = [...problems, ...later, ...unreachable, ...identity.problems]
  return { facts, found: { network, identity, old }, problems: about }
}

/** The same for an image. Throws where that is none. */
export async function review(host: Host, request: TakeoverRequest): Promise<Review> {
  const image = await readImage(host, request)
  const box = await reviewBox(host)
  const wanted = wantedPartitions(image.bytes, request, box.facts.memoryBytes)
  if (box.found === undefined) return { ...box, image, wanted }
  const inside = await readImageFacts(host, request.image)
  const { facts, found } = box
  const about = [...imageProblems(facts, inside, found.identity), ...roomProblem(facts, wanted)]
  return { ...box, image, wanted, problems: [...box.problems, ...about] }
}

/** Where there is a disk that it could be done to. */
async function commitProblems(host: Host, { disk, root, grub, efi }: BoxFacts): Promise<Problem[]> {
  const hasLoader = efi === undefined ? grub.inBootSector : efi.esp !== undefined
  if (disk === undefined || !TABLES.includes(disk.table) || !hasLoader) return []
  try {
    await checkCommit(host, disk.path, {
      efi: efiJournal(efi),
      ...(root.partition && { root: root.partition }),
    })
    await numbersFor(host, disk.path, ROLES.length)
    return []
  } catch (error) {
    if (!(error instanceof PineError)) throw error
    return [stop(error.message, error.hint ?? 'use "install" on an idle disk')]
  }
}

/** Our loader has to be able to start it. */
function oldSystemProblems(old: OldSystem | undefined): Problem[] {
  if (old === undefined)
    return [
      stop(
        'the kernel that runs has no /boot/vmlinuz-VERSION and /boot/initrd.img-VERSION on a plain partition',
        'restart into a kernel that is installed: it is what starts where the new system does not',
      ),
    ]
  if (APPEND.test(old.arguments) && BOOT_PATH.test(old.kernel) && BOOT_PATH.test(old.initrd)) return []
  return [
    stop(
      `its kernel is started with "${old.arguments}", in which GRUB would not take everything literally`,
      'take quotes, $ and ; out of GRUB_CMDLINE_LINUX in /etc/default/grub, run "update-grub" and restart',
    ),
  ]
}

async function readImage(host: Host, request: TakeoverRequest): Promise<Review['image']> {
  const region = await host.openRegion(request.image)
  try {
    await requireBootable(region)
    const { bytes } = region
    const digest = await digestRegion(region, { hashing: nativeHashing(), bytes })
    const { version, epoch } = request
    return { digest, bytes, fs: await detectFileSystem(region), version, epoch }
  } finally {
    await region.close()
  }
}

/** Throws `TAKEOVER_REFUSED` with every reason. */
export function requireNoStop({ problems }: Pick<BoxReview, 'problems'>): void {
  const stops = problems.filter(({ severity }) => severity === 'stop')
  const [first] = stops
  if (first === undefined) return
  const texts = stops.map(({ text }) => text).join('; ')
  throw new PineError('TAKEOVER_REFUSED', texts, {
    hint: first.hint ?? 'look at "pine-update hijack plan"',
  })
}
