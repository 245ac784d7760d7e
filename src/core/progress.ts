/** Called often during long work with bytes done so far and in all. */
export type OnProgress = (doneBytes: number, totalBytes: number) => void
