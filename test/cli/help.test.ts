import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openWorkshop, type Workshop } from '../support/cli.ts'

let shop: Workshop

beforeAll(() => {
  shop = openWorkshop()
})
afterAll(() => shop.close())

const CHANGING = ['apply', 'confirm', 'reject', 'rollback', 'key generate', 'image prepare', 'image build']
CHANGING.push(
  'bundle create',
  'disk build',
  'folder build',
  'install',
  'keys trust',
  'container init',
  'container undo',
)
const LOOKING = [
  'status',
  'log',
  'health',
  'bundle inspect',
  'bundle verify',
  'bundle digest',
  'keys digest',
  'keys show',
]
/** Make or change one small file that the command line names. */
const FILING = ['key public', 'keys create', 'keys sign', 'keys attach', 'bundle attach']
/** What each would do is what "hijack plan" and "hijack status" print. */
const TAKING_OVER = ['plan', 'stage', 'rehearse', 'commit', 'reclaim', 'abort', 'continue', 'status'].map(
  (step) => `hijack ${step}`,
)

const help = async (line: string): Promise<string> => (await shop.ok(`${line} --help`.trim())).stdout

describe.each([...CHANGING, ...LOOKING, ...FILING, ...TAKING_OVER])('%s', (command) => {
  test('has help with examples, and --json', async () => {
    const text = await help(command)
    expect(text).toMatch(new RegExp(`Examples:\\n  \\$ pine-update ${command}`))
    expect(text).toContain('--json')
  })
})

test.each(CHANGING)('%s has --dry-run', async (command) => {
  expect(await help(command)).toContain('--dry-run')
})

/** Names of the commands that a help lists. */
function listed(text: string): string[] {
  const commands = text.split('Commands:\n')[1]?.split('\n\n')[0] ?? ''
  return [...commands.matchAll(/^ {2}(\w+)/gm)].map(([, name = '']) => name).filter((name) => name !== 'help')
}

test('no command is left out here', async () => {
  const found: string[] = []
  for (const name of listed(await help(''))) {
    const below = listed(await help(name))
    found.push(...(below.length === 0 ? [name] : below.map((child) => `${name} ${child}`)))
  }
  expect(found.sort()).toEqual([...CHANGING, ...LOOKING, ...FILING, ...TAKING_OVER].sort())
})

test('the exit codes stand in the help, and nothing is coloured', async () => {
  const text = await help('')
  expect(text).toContain('3  refused before anything was written')
  expect(text).not.toContain('\u001b')
})
