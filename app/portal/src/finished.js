// Files that are complete, noted at once: the browser's memory of what is to be sent follows half a
// second later, and a page can be left before that.
const MOST = 100

export class Finished {
  #key
  #storage

  // `user`: whose files they are. `storage`: gives the browser's, or throws.
  constructor(user, storage = () => window.localStorage) {
    this.#key = `finished-${user}`
    this.#storage = storage
  }

  add(id) {
    this.#write([...this.#read(), id].slice(-MOST))
  }

  // Whether the file was noted, which it is no more.
  take(id) {
    const ids = this.#read()
    const isNoted = ids.includes(id)
    if (isNoted) {
      this.#write(ids.filter((other) => other !== id))
    }
    return isNoted
  }

  // A browser may keep nothing, and what it keeps may be anything.
  #read() {
    try {
      const ids = JSON.parse(this.#storage().getItem(this.#key))
      return Array.isArray(ids) ? ids : []
    } catch {
      return []
    }
  }

  #write(ids) {
    try {
      this.#storage().setItem(this.#key, JSON.stringify(ids))
    } catch {
      // Then the file is asked for again.
    }
  }
}
