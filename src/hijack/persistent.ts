/** What the new system keeps on its state partition; all else is the image. */
const KEPT = ['/etc', '/home', '/root', '/var']

export function isPersistent(path: string): boolean {
  return KEPT.some((folder) => path.startsWith(`${folder}/`))
}
