import { lastStart } from '../core/search.ts'
import type { ExpandedImage, ImageFile, Piece } from '../expand/image.ts'

/** A run of content that is a part of a file. */
export interface FileRun {
  readonly at: number
  readonly bytes: number
  readonly file: ImageFile
  /** Where in the file it is. */
  readonly offset: number
}

/** A part of what is in no file goes through one difference. */
const REST_BYTES = 32 * 1024 * 1024

/** Each byte of an image's content as a part of exactly one file; what is in none is `#rest`, in parts. */
export function mapFiles(image: ExpandedImage, contentBytes: number): FileRun[] {
  const claimed = image.files.flatMap((file) => runsOf(file))
  claimed.sort((a, b) => a.at - b.at)
  const runs: FileRun[] = []
  const gaps: Piece[] = []
  let end = 0
  for (const run of claimed) {
    if (run.at > end) gaps.push({ at: end, bytes: run.at - end })
    // Files that share bytes: the first one has them.
    const skip = Math.max(0, end - run.at)
    if (skip >= run.bytes) continue
    runs.push({ ...run, at: run.at + skip, bytes: run.bytes - skip, offset: run.offset + skip })
    end = run.at + run.bytes
  }
  if (contentBytes > end) gaps.push({ at: end, bytes: contentBytes - end })
  const rest = restFiles(gaps).flatMap((file) => runsOf(file))
  return joinRuns([...runs, ...rest].sort((a, b) => a.at - b.at))
}

/** Runs of a file that follow each other in it and in the image are one. */
function joinRuns(runs: readonly FileRun[]): FileRun[] {
  const joined: FileRun[] = []
  for (const run of runs) {
    const last = joined.at(-1)
    if (last?.file === run.file && last.offset + last.bytes === run.offset)
      joined[joined.length - 1] = { ...last, bytes: last.bytes + run.bytes }
    else joined.push(run)
  }
  return joined
}

/** The gaps of an image between its files, as files of its own. */
export function restFiles(gaps: readonly Piece[]): ImageFile[] {
  const files: ImageFile[] = []
  let pieces: Piece[] = []
  let bytes = 0
  function close(): void {
    if (bytes > 0) files.push({ path: `#rest ${files.length}`, bytes, pieces })
    pieces = []
    bytes = 0
  }
  for (const gap of gaps) {
    for (let done = 0; done < gap.bytes; ) {
      const step = Math.min(gap.bytes - done, REST_BYTES - bytes)
      pieces.push({ at: gap.at + done, bytes: step })
      done += step
      bytes += step
      if (bytes === REST_BYTES) close()
    }
  }
  close()
  return files
}

function runsOf(file: ImageFile): FileRun[] {
  const runs: FileRun[] = []
  let offset = 0
  for (const { at, bytes } of file.pieces) {
    if (at >= 0) runs.push({ at, bytes, file, offset })
    offset += bytes
  }
  return runs
}

/** The run that holds the content at `at`, or the last one before it. */
export function runAt(runs: readonly FileRun[], at: number): FileRun | undefined {
  return runs[lastStart(runs.length, at, (index) => runs[index]?.at)]
}

/** The parts of files between two places of the content. */
export function cutRuns(runs: readonly FileRun[], from: number, to: number): FileRun[] {
  const out: FileRun[] = []
  for (let at = from; at < to; ) {
    const run = runAt(runs, at)
    const skip = at - (run?.at ?? 0)
    if (run === undefined || skip >= run.bytes) throw new Error(`no file has the content at ${at}`)
    const bytes = Math.min(run.bytes - skip, to - at)
    out.push({ file: run.file, at, offset: run.offset + skip, bytes })
    at += bytes
  }
  return out
}
