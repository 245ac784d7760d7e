import type { ErrorCode } from '../../src/core/error.ts'
import type { Random } from './random.ts'

/** A decoder under test. */
export interface TargetSpec<Decoded> {
  readonly name: string
  /** Valid inputs; each must be accepted. The corpus adds to them. */
  readonly seeds: readonly Buffer[]
  /** Another input, made from one that is known. `donor` is a second one. */
  readonly mutate: (input: Buffer, random: Random, donor: Buffer) => Buffer
  /** The decoder itself. Throws what it throws. */
  readonly decode: (input: Buffer) => Decoded | Promise<Decoded>
  /** What the result is worth; throws `WrongAnswer` for one that the decoder must not give. */
  readonly verdict: (decoded: Decoded, input: Buffer) => Outcome
  /** With these a refusal is documented; any other error is a finding. */
  readonly codes: readonly ErrorCode[]
  /** Messages are made of the input: only their codes tell how far it got. */
  readonly echoes?: boolean
  /** Of the whole process at any moment, over what it has before the first execution. Default: 192 MiB. */
  readonly mostMemory?: number
  /** For one execution, twice. Default: two seconds. */
  readonly mostMs?: number
  readonly close?: () => void
}

export interface Outcome {
  /** `accepted`, or in a word why the input is none. */
  readonly verdict: string
  /** How far the decoder got: an input with a new one is kept and changed again. */
  readonly shape: string
}

/** The same without its type. */
export interface Target extends Omit<TargetSpec<unknown>, 'decode' | 'verdict'> {
  readonly run: (input: Buffer) => Outcome | Promise<Outcome>
}

export function defineTarget<Decoded>({ decode, verdict, ...rest }: TargetSpec<Decoded>): Target {
  return {
    ...rest,
    run(input) {
      const decoded = decode(input)
      return decoded instanceof Promise
        ? decoded.then((value) => verdict(value, input))
        : verdict(decoded, input)
    },
  }
}

/** The decoder accepted what it must not accept, or gave something else than what is there. */
export class WrongAnswer extends Error {
  override readonly name = 'WrongAnswer'
}

export function accepted(shape = ''): Outcome {
  return { verdict: 'accepted', shape }
}

/** For decoders that say no without an error. */
export function refused(reason: string): Outcome {
  return { verdict: reason, shape: '' }
}

export function requireThat(isSo: boolean, what: string): void {
  if (!isSo) throw new WrongAnswer(what)
}

/** A target before it is opened: seeds take time and memory. */
export interface TargetEntry {
  readonly name: string
  /** Its share of all executions, in proportion to the weights of all targets. */
  readonly weight: number
  /** Executions that build on each other; default 25,000. */
  readonly perRound?: number
  /** In the test suite: fewer by this factor, because one execution takes long. Default 1. */
  readonly slowness?: number
  readonly open: () => Target | Promise<Target>
}
