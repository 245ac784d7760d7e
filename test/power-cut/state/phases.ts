/** What is known of one slot's start: the loader tells the kernel. */
export interface SlotStart {
  readonly image: 'old' | 'new'
  readonly slot: 'a' | 'b'
  readonly gen: string
  readonly from: string
}

/** A start that writes to the state partition, and during which the power may be cut. */
export interface StatePhase {
  readonly name: string
  /** Starts that came before, each with what was changed in it; none: the partition is as it left the factory. */
  readonly before: readonly { start: SlotStart; edits?: string }[]
  /** What is cut. */
  readonly start: SlotStart
  /** The slot that ran before: it must start as it did, whatever became of this one. */
  readonly fallback?: SlotStart
}

const FIRST: SlotStart = { image: 'old', slot: 'a', gen: '00000001', from: 'b.00000000' }
const UPDATED: SlotStart = { image: 'new', slot: 'b', gen: '00000005', from: 'a.00000001' }
const LATER: SlotStart = { image: 'old', slot: 'a', gen: '00000009', from: 'b.00000005' }
const BACK: SlotStart = { ...FIRST, from: 'b.00000005' }

/** What an administrator does with a machine that runs. */
const EDITS = `
echo 'listen 8080' >etc/web/site.conf
echo web1 >etc/hostname
rm etc/apt/sources
rm -r etc/old
mkdir etc/old
echo mine >etc/old/mine.conf
echo 'alice:x:1000:1000::/home/alice:/bin/bash' >>etc/passwd
echo 'alice:x:1000:' >>etc/group
ln -s /usr/share/zoneinfo/UTC etc/localtime
mkdir home/alice
echo hello >home/alice/note
rm var/cache/kept
echo own >var/lib/app/own
`
const LATER_EDITS = 'echo web2 >etc/hostname; echo more >etc/db/more.conf; rm etc/localtime'

/** To add one, add a line. */
export const STATE_PHASES: readonly StatePhase[] = [
  { name: 'state: the first start fills it', before: [], start: FIRST },
  {
    name: 'state: the first start of a release makes its /etc',
    before: [{ start: FIRST, edits: EDITS }],
    start: UPDATED,
    fallback: BACK,
  },
  {
    name: 'state: the next release in the slot of the first',
    before: [
      { start: FIRST, edits: EDITS },
      { start: UPDATED, edits: LATER_EDITS },
    ],
    start: LATER,
    fallback: { ...UPDATED, from: 'a.00000009' },
  },
]
