import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Finished } from '../src/finished.js'

function storage() {
  const values = new Map()
  return () => ({
    getItem: (key) => values.get(key) ?? null,
    setItem: (key, value) => values.set(key, value),
  })
}

test('a file is noted once, for the next page, and for its user alone', () => {
  const kept = storage()
  new Finished('pia', kept).add('a')
  assert.equal(new Finished('sam', kept).take('a'), false)
  const finished = new Finished('pia', kept)
  assert.equal(finished.take('b'), false)
  assert.equal(finished.take('a'), true)
  assert.equal(finished.take('a'), false)
})

test('no more than a hundred are noted, the newest ones', () => {
  const finished = new Finished('pia', storage())
  for (let number = 0; number <= 100; number++) {
    finished.add(`${number}`)
  }
  assert.equal(finished.take('0'), false)
  assert.equal(finished.take('1'), true)
  assert.equal(finished.take('100'), true)
})

test('a browser that keeps nothing, or something else, does no harm', () => {
  const full = {
    getItem: () => '{"not": "a list"}',
    setItem: () => {
      throw new Error('QuotaExceededError')
    },
  }
  const forbidden = () => {
    throw new Error('SecurityError')
  }
  for (const storage of [() => full, forbidden]) {
    const finished = new Finished('pia', storage)
    finished.add('a')
    assert.equal(finished.take('a'), false)
  }
})
