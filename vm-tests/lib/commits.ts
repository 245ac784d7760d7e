import { copyFileSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { pine, run } from './commands.ts'
import { releaseTrees } from './release-trees.ts'

export const VERSIONS = { r1: '1.0.0', r2: '2.0.0', unhealthy: '3.0.0' } as const
type Name = keyof typeof VERSIONS
const NAMES = Object.keys(VERSIONS) as Name[]
/** For `disk build` and `container init` too. */
export const FIRST_RELEASE = ['--compatible', 'vm-test', '--release', VERSIONS.r1]

/**
 * What a CI with an OSTree repository does, in `dir`: `repo` with a commit of each tree, and a tree bundle from the commit before.
 * Returns the commits.
 */
export function buildCommits(dir: string): Record<Name, string> {
  const at = (name: string): string => join(dir, name)
  const trees = releaseTrees()
  pine('key', 'generate', '--out', at('ci'))
  const repo = `--repo=${at('repo')}`
  run('ostree', 'init', repo, '--mode=archive')
  run('ostree', 'config', repo, 'set', 'core.fsync', 'false')
  const commits = NAMES.map((name) => {
    const tree = trees[name]
    mkdirSync(join(tree, 'etc/pine-update/keys'), { recursive: true })
    copyFileSync(at('ci.pub'), join(tree, 'etc/pine-update/keys/ci.pub'))
    // A commit holds no devices; the kernel makes those of /dev.
    run('find', join(tree, 'dev'), '-mindepth', '1', '-delete')
    const commit = run(
      'ostree',
      'commit',
      repo,
      `--branch=${name}`,
      '--subject=release',
      `--tree=dir=${tree}`,
    )
    return [name, commit.trim()] as const
  })
  createBundle('r1', 'r2')
  createBundle('r2', 'unhealthy')
  return Object.fromEntries(commits) as Record<Name, string>

  function createBundle(from: Name, to: Name): void {
    const ends = ['--ostree', at('repo'), '--from', from, '--to', to]
    const release = ['--compatible', 'vm-test', '--release', VERSIONS[to], '--key', at('ci.key')]
    pine('bundle', 'create', '--tree', ...ends, ...release, '--out', at(`${to}.bundle`))
  }
}
