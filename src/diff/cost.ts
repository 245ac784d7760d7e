import type { Codecs } from '../core/codecs.ts'
import type { Item, ItemList } from './item.ts'
import { subtractMoved } from './subtract.ts'

/** What a file adds to a bundle: about its data, compressed alone and fast. */
export interface FileCost {
  readonly path: string
  readonly bytes: number
}

export async function costOf(list: ItemList, codecs: Codecs): Promise<number> {
  const data = dataOf(list.slice(0, list.bytes), codecs)
  if (data.length === 0) return 0
  const { stored } = await codecs.encode({ codec: 'zstd', params: [3, 0] }, Buffer.concat(data))
  return stored.length
}

function dataOf(items: Iterable<Item>, codecs: Codecs): Buffer[] {
  return [...items].flatMap((item) => {
    switch (item.kind) {
      case 'literal':
        return [item.data]
      case 'base':
        return item.difference ? [item.difference] : []
      case 'moved':
        return [subtractMoved(item, codecs)]
      case 'take':
        return item.stream.feeds.flatMap((feed) => dataOf(feed.items, codecs))
      default:
        return []
    }
  })
}
