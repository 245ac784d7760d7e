import { type InstalledPackage, packageOf, paragraphsOf } from './paragraphs.ts'

/**
 * What apk has installed, from `/lib/apk/db/installed`: fields have names of one letter (Alpine wiki, "Apk spec"). Never fails: what it does not understand is passed over.
 */
export function parseApkInstalled(text: string): InstalledPackage[] {
  return [...paragraphsOf(text)].flatMap((fields) => {
    const found = packageOf(fields.get('P'), fields.get('V'), fields.get('A'))
    return found === undefined ? [] : [found]
  })
}
