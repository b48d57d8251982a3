// Run by `npm test`, and whenever the image is built.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { duration, explain, percent, size, tooLarge } from '../src/words.js'

test('a size is shown in the unit that fits', () => {
  assert.equal(size(0), '0 bytes')
  assert.equal(size(1), '1 byte')
  assert.equal(size(1023), '1023 bytes')
  assert.equal(size(1024), '1.0 KiB')
  assert.equal(size(1024 ** 2 - 1), '1.0 MiB')
  assert.equal(size(9663676416), '9.0 GiB')
  assert.equal(size(5 * 1024 ** 6), '5120.0 PiB')
})

test('a duration is rounded to what a person wants to know', () => {
  assert.equal(duration(0), '1 s')
  assert.equal(duration(59.2), '60 s')
  assert.equal(duration(61), '1 min')
  assert.equal(duration(5400), '1.5 h')
  assert.equal(duration(4 * 86400), '4 days')
})

test('nothing is 100 % before it is complete', () => {
  assert.equal(percent(999, 1000), 99)
  assert.equal(percent(1000, 1000), 100)
  assert.equal(percent(0, 0), 0)
})

test('a refusal says its numbers and the remedy', () => {
  const full = { title: 'Not enough space on the server', detail: '', size: 2048, free: 1024, reserved: 7 }
  assert.equal(
    explain(507, JSON.stringify(full)),
    'Not enough space on the server: it has 2.0 KiB, 1.0 KiB are free on the server.' +
      ' Delete files that are not needed any more, or ask the administrator for room.',
  )
  const quota = { title: 'Your quota is used up', size: 2048, quota: 4096, used: 3072 }
  assert.match(explain(507, JSON.stringify(quota)), /you may store 4\.0 KiB, your files have 3\.0 KiB/)
  assert.match(tooLarge(2048, 1024), /it has 2\.0 KiB, at most 1\.0 KiB are allowed\. Send a smaller/)
})

test('what has no numbers keeps its own words', () => {
  const gone = { title: 'The upload is expired', detail: 'Begin a new one.' }
  assert.equal(explain(410, JSON.stringify(gone)), 'The upload is expired. Begin a new one.')
})

test('an answer that is not ours is told by its status', () => {
  assert.match(explain(502, '<html>'), /^The server answered 502/)
  assert.match(explain(423, ''), /being sent from somewhere else/)
  assert.equal(explain(401, '{}'), 'You are signed out.')
})
