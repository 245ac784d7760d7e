import { PineError } from '../core/error.ts'
import type { HandleType } from './symbols.ts'

/**
 * Something that libostree or GLib made for us: its address stays in here, so nothing else can take its place. Knows its
 * type, and that it was closed.
 */
export class Handle<T extends HandleType> {
  readonly type: T
  #address: number
  readonly #release: (address: number) => void

  constructor(type: T, address: number, release: (address: number) => void) {
    this.type = type
    this.#address = address
    this.#release = release
  }

  get closed(): boolean {
    return this.#address === 0
  }

  /** Lets go of it; once more does nothing. */
  close(): void {
    const address = this.#address
    this.#address = 0
    if (address !== 0) this.#release(address)
  }

  /** For a call of C: throws `USAGE` for anything but an open handle of that type, so that C never sees it. */
  static address(value: unknown, type: HandleType): number {
    const isHandle = typeof value === 'object' && value !== null && #address in value
    if (isHandle && value.type === type && !value.closed) return value.#address
    const found = isHandle ? `${value.closed ? 'a closed' : 'an open'} ${value.type}` : `a ${typeof value}`
    throw new PineError('USAGE', `found ${found}, expected an open ${type}`, {
      hint: 'use what was opened, and only until it is closed',
    })
  }
}
