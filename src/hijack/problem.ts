/** What is against a takeover, or should be known before it. */
export interface Problem {
  /** `stop`: nothing may be written. `warn`: it works, but something of the old system is lost. */
  severity: 'stop' | 'warn'
  text: string
  /** What to do about it, as an imperative sentence. */
  hint?: string
}

export function stop(text: string, hint: string): Problem {
  return { severity: 'stop', text, hint }
}

export function warn(text: string, hint: string): Problem {
  return { severity: 'warn', text, hint }
}
