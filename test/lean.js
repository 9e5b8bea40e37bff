// Loaded first into every process of a test run: test/run.js says so. tap has Node load modules through another thread, which compiles
// TypeScript, puts mocks in the place of modules, and lists what was loaded. These tests are compiled before and use none of that;
// without it, and without the compiler, a test file and a server that it starts load in less than half the time. The lines that
// are run are counted all the same.
import module, { syncBuiltinESMExports } from 'node:module'

const { register } = module
module.register = (specifier, ...rest) => {
  if (!String(specifier).includes('/@tapjs/')) register(specifier, ...rest)
}
syncBuiltinESMExports()
process.env.TAP_TYPE_STRIP_ONLY = '1'
