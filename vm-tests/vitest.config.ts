import { defineConfig } from 'vitest/config'

// Machines run two at a time inside a file; files run one after another, so that no boot starves.
export default defineConfig({
  test: {
    include: ['vm-tests/**/*.test.ts'],
    fileParallelism: false,
    maxConcurrency: 2,
    testTimeout: 1_800_000,
    hookTimeout: 1_800_000,
  },
})
