import type { Cost } from './measure.ts'
import type { Case } from './pair.ts'

/** One line of the table: what a tool needs for a step. */
export interface Row extends Case {
  readonly tool: string
  /** What has to be sent. */
  readonly bytes: number
  readonly create: Cost
  readonly apply: Cost
  /** When it was measured, in ISO form. */
  readonly measuredAt: string
}

/** A line without figures: the tool is not there, or it failed. */
export interface Failure extends Case {
  readonly tool: string
  readonly failed: string
}

export type Result = Row | Failure

export function isRow(result: Result): result is Row {
  return 'bytes' in result
}

type Figures = Pick<Row, 'bytes' | 'create' | 'apply'>

/** Measures a row; a tool that fails gives a line that says how. */
export async function attempt(
  about: Case & { readonly tool: string },
  measureIt: () => Figures | Promise<Figures>,
): Promise<Result> {
  process.stderr.write(`${about.tool}, ${about.step}, ${about.image}\n`)
  try {
    return { ...about, ...(await measureIt()), measuredAt: new Date().toISOString() }
  } catch (error) {
    return { ...about, failed: error instanceof Error ? error.message : String(error) }
  }
}
