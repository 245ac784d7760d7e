import type { End } from './end.ts'
import type { Behaviours, Server } from './server.ts'

/** A part of a server's life during which the power may be cut. */
export interface Phase {
  readonly name: string
  /** Versions that may start after the cut: the old one and the new one. */
  readonly boots: readonly string[]
  /** From the action on; default: every release is healthy. */
  readonly behaviour?: Behaviours
  /** Brings a server that is switched off, with 1.0 in slot a, to where the action begins. */
  readonly before: (server: Server) => Promise<unknown>
  /** What is cut. */
  readonly action: (server: Server) => Promise<unknown>
  /** What is done where a start after the cut did not lead to the end; default: the action once more. */
  readonly again?: (server: Server) => Promise<unknown>
  /** Where it may end in another way than without a cut. */
  readonly reached?: (end: End) => boolean
}

/** A server that is up and runs 1.0, or 2.0 with 1.0 in the other slot. */
const up = (server: Server) => server.live()
async function updated(server: Server): Promise<void> {
  await server.live()
  await server.pine('apply /2.0.bundle')
  await server.live()
}
/** 2.0 is in slot b and boots next. */
async function armed(server: Server): Promise<void> {
  await server.live()
  await server.pine('apply /2.0.bundle')
}
/** 2.0 was started, and nobody has said yet whether it is good. */
async function onTrial(server: Server): Promise<void> {
  await armed(server)
  server.boot()
}
/** A download that broke off left slot b half written. */
async function halfWritten(server: Server): Promise<void> {
  await server.live()
  await server.pine('apply /2.0-cut.bundle', 1)
}

/** One command line, and the restart that it asks for, or that comes some day. */
const command =
  (line: string, exit = 0) =>
  (server: Server) =>
    server.pine(line, exit)
const commandAndStart =
  (line: string, exit = 0) =>
  async (server: Server) => {
    await server.pine(line, exit)
    await server.live()
  }

const UPDATE = ['1.0', '2.0']
const SICK: Behaviours = { '2.0': 'unhealthy' }

/** The life of an update. To add a part of it, add a line: a start, and what is done from there. */
export const PHASES: readonly Phase[] = [
  { name: 'first start', boots: ['1.0'], before: async () => {}, action: up },
  { name: 'starts without a verdict', boots: ['1.0'], before: up, action: startMany },
  {
    name: 'a confirmed release is not healthy',
    boots: ['1.0'],
    behaviour: { '1.0': 'unhealthy' },
    before: up,
    action: up,
    // Each start without a good verdict costs a try.
    reached: ({ runs, trial }) => runs === '1.0' && trial === null,
  },

  { name: 'apply, a full bundle', boots: UPDATE, before: up, action: command('apply /2.0.bundle') },
  { name: 'apply, a delta', boots: UPDATE, before: up, action: command('apply /2.0-delta.bundle') },
  { name: 'apply, resumed', boots: UPDATE, before: halfWritten, action: command('apply /2.0.bundle') },
  {
    name: 'apply, over another half-written release',
    boots: ['1.0', '3.0'],
    before: halfWritten,
    action: command('apply /3.0.bundle'),
  },
  {
    name: 'apply, over a release that waits for its start',
    boots: ['1.0', '2.0', '3.0'],
    before: armed,
    action: command('apply /3.0.bundle'),
    reached: ({ runs, trial, rejected }) => runs === '3.0' && trial === null && rejected.length === 0,
  },
  {
    name: 'apply, in the other direction',
    boots: ['2.0', '3.0'],
    before: updated,
    action: command('apply /3.0.bundle'),
  },
  {
    name: 'apply and restart',
    boots: UPDATE,
    before: up,
    action: commandAndStart('apply /2.0.bundle --reboot'),
  },
  {
    name: 'key rotation, with a bundle',
    boots: UPDATE,
    before: up,
    action: command('apply /2.0-rotated.bundle'),
  },
  { name: 'key rotation, alone', boots: ['1.0'], before: up, action: command('keys trust /fleet.keys') },

  { name: 'trial', boots: UPDATE, before: armed, action: async (server) => server.boot() },
  { name: 'trial that panics', boots: UPDATE, behaviour: { '2.0': 'panics' }, before: armed, action: up },
  {
    name: 'confirm, by the health service',
    boots: UPDATE,
    before: onTrial,
    action: command('health --boot'),
  },
  { name: 'confirm, by hand', boots: UPDATE, before: onTrial, action: command('confirm') },
  {
    name: 'reject, by the health service',
    boots: UPDATE,
    behaviour: SICK,
    before: onTrial,
    action: commandAndStart('health --boot', 4),
    again: up,
  },
  {
    name: 'reject, by hand',
    boots: UPDATE,
    behaviour: SICK,
    before: onTrial,
    action: commandAndStart('reject --reboot'),
  },
  {
    name: 'reject, before its start',
    boots: UPDATE,
    behaviour: SICK,
    before: armed,
    action: command('reject'),
  },
  { name: 'rollback', boots: UPDATE, before: updated, action: commandAndStart('rollback --reboot') },
  {
    name: 'rollback, from a trial',
    boots: UPDATE,
    behaviour: SICK,
    before: onTrial,
    action: commandAndStart('rollback --reboot'),
  },
  {
    name: 'rollback, to a release that panics',
    boots: UPDATE,
    behaviour: { '1.0': 'panics' },
    before: updated,
    action: commandAndStart('rollback --reboot'),
  },
]

/** Nobody gives a verdict: tries run out, the loader re-arms, and then starts uncounted. */
async function startMany(server: Server): Promise<void> {
  for (let starts = 0; starts < 8; starts++) server.boot()
}
