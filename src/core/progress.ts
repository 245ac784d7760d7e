/** Called often during long work with bytes done so far and in all. */
export type OnProgress = (doneBytes: number, totalBytes: number) => void
/** The same for work of several parts, with what is under way for a person, and what can be counted of it. */
export type OnStage = (what: string, done?: number, total?: number) => void
