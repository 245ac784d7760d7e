import type { Block, Run } from '../delta/program.ts'
import type { Content } from './content.ts'
import type { NestedContents } from './nested-contents.ts'

interface BaseParts {
  readonly nested: NestedContents
  readonly imageBytes: number
}

interface BaseSpace {
  locate(at: number, bytes: number): Run[]
  blocks(): readonly Block[]
}

/** Gives addresses of the base space to content of the base, and names the blocks that it takes for that. */
export function addressBase(content: Content, { nested, imageBytes }: BaseParts): BaseSpace {
  const blocks: Block[] = []
  /** Address of the content of units and nested contents that were named, by where it starts. */
  const named = new Map<number, number>()
  let end = imageBytes

  function locate(at: number, bytes: number): Run[] {
    const out: { from: number; bytes: number }[] = []
    for (let done = 0; done < bytes; ) {
      const { from, room } = addressOf(at + done)
      const step = Math.min(room, bytes - done)
      const last = out.at(-1)
      if (last && last.from + last.bytes === from) last.bytes += step
      else out.push({ from, bytes: step })
      done += step
    }
    return out
  }

  function addressOf(at: number): { from: number; room: number } {
    if (at >= content.bytes) return inNested(at)
    const index = content.unitAt(at)
    const unit = content.image.units[index]
    if (unit === undefined) throw new RangeError(`the base has no content at ${at}`)
    const start = content.startOf(index)
    const room = unit.content - (at - start)
    if (unit.encoding === undefined) return { from: unit.offset + at - start, room }
    const { codec } = unit.encoding
    const runs = [{ from: unit.offset, bytes: unit.stored }]
    const address = named.get(start) ?? name(start, { codec, runs, content: unit.content })
    return { from: address + at - start, room }
  }

  function inNested(at: number): { from: number; room: number } {
    const { codec, stored, content: inside, start } = nested.at(at)
    const runs = () => stored.flatMap((piece) => locate(piece.at, piece.bytes))
    const address = named.get(start) ?? name(start, { codec, runs: runs(), content: inside.length })
    return { from: address + at - start, room: inside.length - (at - start) }
  }

  function name(start: number, block: Block): number {
    const address = end
    blocks.push(block)
    named.set(start, address)
    end += block.content
    return address
  }

  return { locate, blocks: () => blocks }
}
