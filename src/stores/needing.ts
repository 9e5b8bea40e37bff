/**
 * Loads a part of ours that needs a package which may have been left out when Holdfast was installed.
 * Rejects with an Error that says how to get the package when that is what is missing.
 */
export async function needing<T> (name: string, load: () => Promise<T>): Promise<T> {
  return await load().catch(error => {
    // Node's words: its code for this does not say which package, and is lost where a loader stands between.
    const isMissing = error instanceof Error && error.message.startsWith(`Cannot find package '${name}'`)
    throw isMissing ? new Error(`the package ${name} is not installed: add it with npm install ${name}`) : error
  })
}
