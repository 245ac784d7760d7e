import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/** Linked into the native core. */
const STATIC_LIBRARIES = ['libzstd-dev', 'zlib1g-dev', 'liblzma-dev', 'liblz4-dev']

/** The licences of everything in the one-file programs, beside them and in the native core that is not ours. */
export function thirdPartyLicences(repo) {
  const texts = [...npmLicences(repo), ...STATIC_LIBRARIES.map(debianLicence)]
  return texts.map(([name, text]) => `==== ${name}\n\n${text.trim()}\n`).join('\n')
}

function npmLicences(repo) {
  const { packages } = JSON.parse(readFileSync(join(repo, 'package-lock.json'), 'utf8'))
  const shipped = Object.entries(packages).filter(([folder, { dev, optional, devOptional }]) => {
    const isBundled = folder !== '' && !dev && !optional && !devOptional
    return isBundled || (/\/(koffi$|@koromix\/)/.test(folder) && existsSync(join(repo, folder)))
  })
  return shipped.map(([folder, { version, license }]) => {
    const file = readdirSync(join(repo, folder)).find((name) => /^licen[cs]e/i.test(name))
    const text = file === undefined ? license : readFileSync(join(repo, folder, file), 'utf8')
    return [`${folder.replace(/.*node_modules\//, '')} ${version}`, text]
  })
}

function debianLicence(name) {
  const path = `/usr/share/doc/${name}/copyright`
  return [name, existsSync(path) ? readFileSync(path, 'utf8') : `https://tracker.debian.org/pkg/${name}`]
}
