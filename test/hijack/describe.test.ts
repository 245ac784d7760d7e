import { describe, expect, test } from 'vitest'
import { describeReview, describeTakeover } from '../../src/hijack/describe.ts'
import { stop } from '../../src/hijack/problem.ts'
import type { Review } from '../../src/hijack/review.ts'
import { emptyRecords } from '../../src/model/records.ts'
import { MIB } from './gpt-disk.ts'
import { FIRST_BOOT, GOOD_BOX, GOOD_UEFI_BOX, journalWith } from './takeover-facts.ts'
import { WANTED } from './takeover-steps.ts'

const REVIEW: Review = {
  facts: GOOD_BOX,
  found: undefined,
  image: { digest: 'd1', bytes: 50 * MIB, fs: 'squashfs', version: '1.0', epoch: 0 },
  wanted: WANTED,
  problems: [],
}

describe('the plan of a takeover', () => {
  const text = describeReview(REVIEW).join('\n')

  test('draws the disk as it is, all of it', () => {
    expect(text).toContain('/dev/vda1 (no file system)')
    expect(text).toContain('/dev/vda2 (ext4, the old system)')
  })

  test('says what comes, what goes, and until when nothing has happened', () => {
    for (const { name } of WANTED) expect(text).toMatch(new RegExp(`^  ${name} `, 'm'))
    expect(text).toContain('after "reclaim" /dev/vda2 is gone')
    expect(text).toContain('until "commit" nothing changes but files of the old system')
  })

  test('with UEFI names the partition, and what commit puts there', () => {
    const uefi = describeReview({ ...REVIEW, facts: GOOD_UEFI_BOX }).join('\n')
    expect(uefi).toContain('machine     UEFI, ')
    expect(uefi).toContain(
      'EFI/debian/grubx64.efi on /dev/vda1 stays; commit adds EFI/pine-update/grubx64.efi',
    )
    expect(text).not.toContain('loader ')
  })

  test('names no next step where something is against it', () => {
    const refused = describeReview({ ...REVIEW, problems: [stop('it is LVM', 'move it')] }).join('\n')
    expect(refused).toContain('STOP: it is LVM\n  move it')
    expect(refused).not.toContain('next:')
  })
})

describe('the status of a takeover', () => {
  const facts = {
    isArmed: false,
    boot: FIRST_BOOT,
    records: emptyRecords('test'),
    lastBoot: undefined,
    isFlipped: false,
    isFallback: false,
    wasGivenOneStart: false,
  }

  test('draws where on the disk the new system is', () => {
    const text = describeTakeover({ ...facts, journal: journalWith() }).join('\n')
    expect(text).toContain('/dev/vda:\n  |')
    expect(text).toMatch(/rootfs-a +16\.0 MiB +at 1\d\d MiB/)
  })

  test('draws nothing before room was found', () => {
    const journal = journalWith({ parts: [], isStaged: false })
    expect(describeTakeover({ ...facts, journal }).join('\n')).not.toContain('|')
  })
})
