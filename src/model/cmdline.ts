/** Words of a kernel command line; the last one of a name wins, a word without `=` is an empty value. */
export function parseCmdline(text: string): Map<string, string> {
  const words = text.trim().split(/\s+/).filter(Boolean)
  return new Map(
    words.map((word) => {
      const at = word.indexOf('=')
      return at < 0 ? [word, ''] : [word.slice(0, at), word.slice(at + 1)]
    }),
  )
}
