import { defineConfig } from 'vitest/config'

// Generous: a busy machine is no failure. Nothing here tests how long something takes.
const PATIENCE_MS = 120_000

export default defineConfig({
  test: { include: ['test/**/*.test.ts'], testTimeout: PATIENCE_MS, hookTimeout: PATIENCE_MS },
})
