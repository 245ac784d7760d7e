import { Command, CommanderError } from 'commander'
import { applyCommand } from './apply.ts'
import { bundleCommand } from './bundle.ts'
import { containerCommand } from './container.ts'
import { diskCommand } from './disk.ts'
import { reportError, reportUsage } from './errors.ts'
import { folderCommand } from './folder.ts'
import { healthCommand } from './health.ts'
import { hijackCommand } from './hijack.ts'
import { imageCommand } from './image.ts'
import { installCommand } from './install.ts'
import type { Io } from './io.ts'
import { keyCommand } from './key.ts'
import { keysCommand } from './keys.ts'
import { logCommand } from './log.ts'
import { statusCommand } from './status.ts'
import { confirmCommand, rejectCommand, rollbackCommand } from './verdict.ts'

const EXIT_CODES = `
Exit codes:
  0  done, or nothing was to do
  1  failed; what boots did not change
  2  used wrongly: an option, a file or the configuration
  3  refused before anything was written
  4  the system is not healthy
Every error has a code; docs/errors.md says what to do about it.`

declare const __PINE_VERSION__: string

/** Runs one command line, without the program's name. Returns the exit code; never throws. */
export async function main(argv: readonly string[], io: Io): Promise<number> {
  let exitCode = 0
  const setExitCode = (code: number): void => {
    exitCode = code
  }
  const program = createProgram(io, setExitCode)
  try {
    await program.parseAsync(argv, { from: 'user' })
    return exitCode
  } catch (error) {
    const json = argv.includes('--json')
    if (!(error instanceof CommanderError)) return reportError(io, error, json)
    return error.exitCode === 0 ? 0 : reportUsage(io, error, json)
  }
}

function createProgram(io: Io, setExitCode: (code: number) => void): Command {
  const program = new Command('pine-update')
    .description('Atomic updates and A/B partitions for Linux servers.')
    .version(typeof __PINE_VERSION__ === 'string' ? __PINE_VERSION__ : 'source')
    .addHelpText('after', EXIT_CODES)
  program.addCommand(applyCommand(io))
  program.addCommand(statusCommand(io, setExitCode))
  program.addCommand(logCommand(io))
  program.addCommand(healthCommand(io, setExitCode))
  for (const command of [confirmCommand(io), rejectCommand(io), rollbackCommand(io)])
    program.addCommand(command)
  for (const command of [keyCommand(io), keysCommand(io), imageCommand(io), bundleCommand(io)])
    program.addCommand(command)
  for (const command of [
    diskCommand(io),
    folderCommand(io),
    containerCommand(io),
    installCommand(io),
    hijackCommand(io, setExitCode),
  ])
    program.addCommand(command)
  for (const command of everyCommand(program)) configure(command, io)
  return program
}

function everyCommand(command: Command): Command[] {
  return [command, ...command.commands.flatMap(everyCommand)]
}

function configure(command: Command, io: Io): void {
  command.exitOverride().configureOutput({ writeOut: io.stdout, writeErr: io.stderr })
  if (command.commands.length === 0) command.showHelpAfterError('(add --help for the options and examples)')
}
