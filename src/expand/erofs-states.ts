import { nameOf } from '../core/file-name.ts'
import { type FileState, MAX_TARGET_BYTES, MODE_MASK, typeOfMode } from '../core/file-state.ts'
import { readPlaces } from './erofs-directories.ts'
import { type ErofsInode, type ErofsVolume, flatPlaces, isPacked, readInode } from './erofs-inodes.ts'
import { broken } from './reader.ts'

export async function readState(volume: ErofsVolume, nid: number): Promise<FileState> {
  const inode = await readInode(volume, nid)
  const type = typeOfMode(inode.mode)
  if (type === undefined) throw broken(`inode ${nid} has mode ${inode.mode}`)
  const owned = { type, mode: inode.mode & MODE_MASK, uid: inode.uid, gid: inode.gid }
  switch (type) {
    case 'file':
      return { ...owned, bytes: inode.bytes }
    case 'symlink':
      return { ...owned, target: nameOf(await readTarget(volume, inode)) }
    case 'block':
    case 'character':
      return { ...owned, device: inode.address }
    default:
      return owned
  }
}

async function readTarget(volume: ErofsVolume, inode: ErofsInode): Promise<Buffer> {
  if (inode.bytes > MAX_TARGET_BYTES) throw broken(`a symlink of ${inode.bytes} bytes`)
  const places = isPacked(inode) ? undefined : await flatPlaces(volume, inode)
  if (places === undefined) throw broken('a symlink is packed')
  return await readPlaces(volume.reader, places)
}
