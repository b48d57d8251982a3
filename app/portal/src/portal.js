// The page with the drop zone. Without this script its form is sent by the browser itself.
import '@uppy/status-bar/css/style.min.css'
import { Transfers } from './transfers.js'

const form = document.getElementById('upload')
const input = document.getElementById('files')
const folder = document.getElementById('folder')
const said = document.getElementById('said')
const list = document.getElementById('transfers')
const title = document.title
const { maxSize, user, ...places } = form.dataset

let isSending = false

const transfers = new Transfers({
  maxSize: Number(maxSize),
  user,
  places,
  list,
  template: document.getElementById('transfer'),
  status: '#status',
  drop: document.body,
  choose: () => input.click(),
  say: (text) => {
    said.textContent = text
  },
  progressed: (percent) => {
    document.title = isSending ? `${percent} % – ${title}` : title
  },
  changed: (sending, rows) => {
    isSending = sending
    document.body.classList.toggle('busy', rows > 0 || list.childElementCount > 0)
    if (!sending) {
      document.title = title
    }
  },
})

document.body.classList.add('script')
document.getElementById('call').textContent = 'Drop files or folders here, or click to choose'

for (const element of [input, folder]) {
  element.addEventListener('change', () => {
    transfers.add(element.files)
    // The same file can be chosen again.
    element.value = ''
  })
}
document.getElementById('choose-folder').addEventListener('click', () => folder.click())

window.addEventListener('beforeunload', (event) => {
  if (isSending) {
    event.preventDefault()
  }
})
