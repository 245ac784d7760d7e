import { realHost } from '../host/real-host.ts'
import { start } from './start.ts'

void start(realHost())
