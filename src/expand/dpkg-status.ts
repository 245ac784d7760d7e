import { type InstalledPackage, packageOf, paragraphsOf } from './paragraphs.ts'

/**
 * What dpkg has installed, from `/var/lib/dpkg/status` or, of images without dpkg, a file of `status.d`, where no status
 * stands (deb822(5), dpkg(1) "Package states"). Never fails: what it does not understand is passed over.
 */
export function parseDpkgStatus(text: string): InstalledPackage[] {
  const packages: InstalledPackage[] = []
  for (const fields of paragraphsOf(text)) {
    const found = packageOf(fields.get('Package'), fields.get('Version'), fields.get('Architecture'))
    if (found !== undefined && isThere(fields.get('Status'))) packages.push(found)
  }
  return packages
}

/** Of a package that was removed its configuration may be left; one that is half installed has files. */
function isThere(status: string | undefined): boolean {
  if (status === undefined) return true
  const state = status.split(' ')[2]
  return state !== undefined && state !== 'not-installed' && state !== 'config-files'
}
