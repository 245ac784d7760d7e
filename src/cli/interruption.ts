/** SIGHUP too: an ssh session that drops must not leave something half done without a word in the log. */
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/** Runs `use` with a signal that an operator's interruption sets off; a second one ends the process at once. */
export async function interruptible<T>(use: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const interrupted = new AbortController()
  const interrupt = (): void => interrupted.abort()
  for (const name of SIGNALS) process.once(name, interrupt)
  try {
    return await use(interrupted.signal)
  } finally {
    for (const name of SIGNALS) process.off(name, interrupt)
  }
}
