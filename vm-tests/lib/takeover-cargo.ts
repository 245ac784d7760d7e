import { execFileSync } from 'node:child_process'
import { copyFileSync, cpSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { makeArchive } from '../../test/support/archive.ts'
import { type Release, releaseTrees } from './release-trees.ts'

const REPO = process.cwd()

/** Images on the disk of cargo, by the release's name. */
export const IMAGES = ['r1', 'panic', 'hang'] as const satisfies readonly Release[]

/** A disk with the archive for machines without Node, images, and an update for the first of them. */
export function takeoverCargo(dir: string): string {
  const at = (name: string) => join(dir, name)
  const trees = releaseTrees()
  mkdirSync(at('cargo'))
  copyFileSync(makeArchive(at('made')), at('cargo/pine-update.tar.gz'))
  pine('key', 'generate', '--out', at('ci'))
  for (const name of [...IMAGES, 'r2'] as const) {
    const tree = at(`tree-${name}`)
    // The trees are kept for others, and the key is of today.
    execFileSync('cp', ['-a', trees[name], tree])
    mkdirSync(join(tree, 'etc/pine-update/keys'), { recursive: true })
    cpSync(at('ci.pub'), join(tree, 'etc/pine-update/keys/ci.pub'))
    pine('image', 'build', '--tree', tree, '--out', at(name === 'r2' ? 'r2.img' : `cargo/${name}.img`))
    execFileSync('rm', ['-rf', tree])
  }
  const release = ['--compatible', 'rented', '--release', '2.0', '--key', at('ci.key')]
  const images = ['--from', at('cargo/r1.img'), '--to', at('r2.img')]
  pine('bundle', 'create', ...images, ...release, '--out', at('cargo/r2.bundle'))
  execFileSync('mksquashfs', [at('cargo'), at('cargo.img'), '-noI', '-noD', '-noF', '-quiet', '-no-progress'])
  return at('cargo.img')
}

function pine(...words: string[]): void {
  execFileSync(process.execPath, [join(REPO, 'dist/pine-update.cjs'), ...words], { cwd: REPO, stdio: 'pipe' })
}
