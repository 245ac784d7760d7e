import type { TargetEntry } from './target.ts'
import { bootstateArea } from './targets/area.ts'
import { bundleTargets } from './targets/bundle.ts'
import { changesTargets } from './targets/changes.ts'
import { diskTargets } from './targets/disk.ts'
import { elf } from './targets/elf.ts'
import { envBlockTargets } from './targets/env-block.ts'
import { headerTargets } from './targets/header.ts'
import { hostileBundle } from './targets/hostile-bundle.ts'
import { httpTargets } from './targets/http.ts'
import { imageTargets } from './targets/images.ts'
import { keyChain } from './targets/key-lists.ts'
import { keyTargets } from './targets/keys.ts'
import { layoutJson } from './targets/layout.ts'
import { loadOption } from './targets/load-option.ts'
import { mbr } from './targets/mbr.ts'
import { msgpackTargets } from './targets/msgpack.ts'
import { decoderTargets } from './targets/native-decoders.ts'
import { encoderTargets } from './targets/native-encoders.ts'
import { nested } from './targets/nested.ts'
import { programTargets } from './targets/program.ts'
import { recordTargets } from './targets/records.ts'
import { takeoverTargets } from './targets/takeover.ts'
import { textTargets } from './targets/texts.ts'

/** Everything that reads bytes from outside. To add a decoder: an entry here, and the weight that its speed allows. */
export const TARGETS: readonly TargetEntry[] = [
  ...headerTargets,
  ...msgpackTargets,
  ...bundleTargets,
  ...changesTargets,
  hostileBundle,
  keyChain,
  ...keyTargets,
  ...programTargets,
  ...envBlockTargets,
  ...recordTargets,
  bootstateArea,
  loadOption,
  layoutJson,
  mbr,
  ...diskTargets,
  ...takeoverTargets,
  ...textTargets,
  ...imageTargets,
  nested,
  elf,
  ...decoderTargets,
  ...encoderTargets,
  ...httpTargets,
]
