import { preferNativeHashing } from '../host/native.ts'
import { realHost } from '../host/real-host.ts'
import { main } from './program.ts'

const io = {
  host: realHost(),
  stdout: (text: string) => void process.stdout.write(text),
  stderr: (text: string) => void process.stderr.write(text),
  interactive: process.stderr.isTTY && process.env.TERM !== 'dumb',
  stdin: process.stdin,
}

preferNativeHashing()
void main(process.argv.slice(2), io).then((exitCode) => {
  process.exitCode = exitCode
})
