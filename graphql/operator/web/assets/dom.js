// What makes elements. All text goes in as text: nothing that a node or a peer says is read as HTML.

/** h('td', {class: 'n'}, 'text', child): null and false children are left out. */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? '' : value);
  }
  element.append(...children.flat().filter((c) => c !== null && c !== undefined && c !== false));
  return element;
}

const svgNamespace = 'http://www.w3.org/2000/svg';

/** s is h for SVG. */
export function s(tag, attributes = {}, ...children) {
  const element = document.createElementNS(svgNamespace, tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== null && value !== false) element.setAttribute(name, value);
  }
  element.append(...children.flat().filter(Boolean));
  return element;
}

/** table makes a table of rows; a column is [title, cell(row), class]. */
export function table(caption, columns, rows, empty = 'None.') {
  if (rows.length === 0) return h('p', {class: 'faint'}, `${caption}: ${empty}`);
  return h('div', {class: 'scroll', tabindex: '0', role: 'region', 'aria-label': caption},
    h('table', {}, h('caption', {}, caption),
      h('thead', {}, h('tr', {}, columns.map(([title, , kind]) => h(title ? 'th' : 'td', {scope: title ? 'col' : null, class: kind}, title)))),
      h('tbody', {}, rows.map((row) => h('tr', {}, columns.map(([, cell, kind]) => h('td', {class: kind}, cell(row))))))));
}

/** facts is a table of names and values. */
export function facts(caption, rows) {
  return h('div', {class: 'scroll', tabindex: '0', role: 'region', 'aria-label': caption},
    h('table', {class: 'facts'}, h('caption', {}, caption),
      h('tbody', {}, rows.map(([name, value]) => h('tr', {}, h('th', {scope: 'row'}, name), h('td', {}, value))))));
}

/** put replaces what an element holds; null and false are left out. */
export const put = (element, ...children) =>
  element.replaceChildren(...children.flat().filter((c) => c !== null && c !== undefined && c !== false));

/** moment is a time without the fractions of its second. */
export const moment = (time) => time.replace(/\.\d+Z$/, 'Z');

export function figures(...list) {
  return h('ul', {class: 'figures'}, list.map(([name, value, kind]) =>
    h('li', {}, h('b', {class: kind}, String(value)), h('span', {}, name))));
}

export const state = (kind, text) => h('span', {class: kind}, text);

export const link = (to, text) => h('a', {href: `#/${to}`}, text ?? to);

const units = [[86400, 'd'], [3600, 'h'], [60, 'min'], [1, 's']];

/** span says a time in seconds in its two largest units. */
export function span(seconds) {
  let rest = Math.max(0, Math.round(seconds));
  const parts = [];
  for (const [size, name] of units) {
    if (rest >= size && parts.length < 2) { parts.push(`${Math.floor(rest / size)} ${name}`); rest %= size; }
  }
  return parts.join(' ') || '0 s';
}

export const ago = (time) => time ? `${span((Date.now() - Date.parse(time)) / 1000)} ago` : '';

export const until = (time) => {
  const left = (Date.parse(time) - Date.now()) / 1000;
  return left >= 0 ? `in ${span(left)}` : `over since ${span(-left)}`;
};

/** ask shows what will be done and resolves to whether it is wanted. */
export function ask(text, yes) {
  return new Promise((resolve) => {
    const close = (answer) => () => { dialog.close(); dialog.remove(); resolve(answer); };
    const dialog = h('dialog', {'aria-label': yes}, h('p', {}, text),
      h('div', {}, h('button', {onclick: close(false), autofocus: true}, 'Cancel'), h('button', {onclick: close(true)}, yes)));
    dialog.addEventListener('cancel', close(false));
    document.body.append(dialog);
    dialog.showModal();
  });
}
