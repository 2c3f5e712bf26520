// A world is the data behind a set of subgraphs: every object is a type and a number, and the value of a field is a hash of both, of the
// field's name, its arguments and what it requires. So a monolith and the subgraphs agree without sharing anything, and a subgraph that is
// asked what it cannot know, fails.
//
//   - A leaf that is part of some @key is an identity: it tells which object it belongs to, and references are resolved by it.
//   - An object that is part of some @key has its owner's number.
//   - A field whose name starts with "bad" fails on some objects.
//   - Of a type whose key is __typename alone there is one object.
//   - Some objects of a type whose name starts with "G" are unknown to some subgraphs: their fields are null.
'use strict';
const { parse, getNamedType, Kind, visit } = require('graphql');

const COUNT = 4;

function hash(...parts) {
  let h = 0x811c9dc5;
  for (const c of parts.join('\u0001')) {
    h ^= c.codePointAt(0);
    h = Math.imul(h, 0x01000193);
  }
  h ^= h >>> 15;
  h = Math.imul(h, 0x2c1b3c6d);
  h ^= h >>> 12;
  return h >>> 0;
}

function canonical(v) {
  if (Array.isArray(v)) return '[' + v.map(canonical).join(',') + ']';
  if (v && typeof v === 'object') return '{' + Object.keys(v).sort().map((k) => k + ':' + canonical(v[k])).join(',') + '}';
  return JSON.stringify(v) ?? 'null';
}

function argument(node, directive, name = 'fields') {
  const d = (node.directives ?? []).find((d) => d.name.value === directive);
  return d && d.arguments.find((a) => a.name.value === name)?.value.value;
}

const has = (node, directive) => (node.directives ?? []).some((d) => d.name.value === directive);
const fieldSet = (text) => text === undefined ? undefined : parse('{' + text + '}').definitions[0].selectionSet;

// plain gives the directives of the federation specification their own names again, whatever @link calls them.
function plain(document) {
  const names = new Map();
  for (const def of document.definitions) {
    for (const d of def.kind.startsWith('Schema') ? def.directives : []) {
      if (d.name.value !== 'link' || !argument(def, 'link', 'url')) continue;
      const value = Object.fromEntries(d.arguments.map((a) => [a.name.value, a.value]));
      if (!value.url.value.includes('/federation/')) continue;
      const space = value.as?.value ?? 'federation';
      for (const n of ['key', 'shareable', 'external', 'requires', 'provides', 'override', 'interfaceObject', 'inaccessible', 'tag']) names.set(space + '__' + n, n);
      for (const i of value.import?.values ?? []) {
        if (i.kind !== Kind.OBJECT) continue;
        const f = Object.fromEntries(i.fields.map((f) => [f.name.value, f.value.value]));
        names.set(f.as.replace('@', ''), f.name.replace('@', ''));
      }
    }
  }
  return visit(document, { Directive: (d) => names.has(d.name.value) ? { ...d, name: { ...d.name, value: names.get(d.name.value) } } : undefined });
}

// model reads one subgraph: what each of its types and fields is.
function model(name, sdl) {
  const m = { name, types: new Map(), enums: new Map() };
  for (const def of plain(parse(sdl)).definitions) {
    if (def.kind === 'EnumTypeDefinition') m.enums.set(def.name.value, def.values.map((v) => v.name.value));
    if (!/^(Object|Interface|Union)Type(Definition|Extension)$/.test(def.kind)) continue;
    let t = m.types.get(def.name.value);
    if (!t) m.types.set(def.name.value, t = { name: def.name.value, kind: def.kind.replace(/Type.*/, ''), fields: new Map(), keys: [], interfaces: [], members: [] });
    t.interfaceObject ||= has(def, 'interfaceObject');
    t.external ||= has(def, 'external');
    for (const d of def.directives ?? []) if (d.name.value === 'key') t.keys.push(fieldSet(d.arguments.find((a) => a.name.value === 'fields').value.value));
    t.interfaces.push(...(def.interfaces ?? []).map((i) => i.name.value));
    t.members.push(...(def.types ?? []).map((i) => i.name.value));
    for (const f of def.fields ?? []) {
      t.fields.set(f.name.value, {
        type: f.type, args: f.arguments ?? [], external: has(f, 'external') || t.external, requires: fieldSet(argument(f, 'requires')), provides: fieldSet(argument(f, 'provides')),
        from: argument(f, 'override', 'from'), label: argument(f, 'override', 'label'),
      });
    }
  }
  return m;
}

class World {
  constructor(seed, subgraphs) {
    this.seed = seed;
    this.full = 0; // above 0: nothing is null, empty or fails, and each number draws other types
    this.subgraphs = new Map(subgraphs.map((s) => [s.name, model(s.name, s.sdl)]));
    this.enums = new Map(); // name → values, hidden ones included
    for (const m of this.subgraphs.values()) for (const [n, v] of m.enums) this.enums.set(n, [...new Set([...this.enums.get(n) ?? [], ...v])].sort());
    this.objects = new Set();      // names of object types that are concrete
    this.implementers = new Map(); // interface → names
    for (const m of this.subgraphs.values()) {
      for (const t of m.types.values()) {
        if (t.kind !== 'Object' || t.interfaceObject) continue;
        this.objects.add(t.name);
        for (const i of t.interfaces) {
          if (!this.implementers.has(i)) this.implementers.set(i, new Set());
          this.implementers.get(i).add(t.name);
        }
      }
    }
    this.numbers = [...this.objects].sort();
    this.override();
    this.identities();
  }

  // override marks the fields that another subgraph has taken.
  override() {
    for (const m of this.subgraphs.values()) {
      for (const t of m.types.values()) {
        for (const [f, d] of t.fields) {
          const loser = d.from && !d.label && this.subgraphs.get(d.from)?.types.get(t.name)?.fields.get(f);
          if (loser) loser.gone = true;
        }
      }
    }
  }

  // identities finds the leaves and the objects that are part of keys.
  identities() {
    this.single = new Set(['Query']); // types of which there is one object: their key is their name, or they are roots
    for (const m of this.subgraphs.values()) {
      for (const t of m.types.values()) {
        if (t.keys.some((k) => k.selections.every((s) => s.name?.value === '__typename'))) this.single.add(t.name);
      }
    }
    this.ids = new Set();
    this.same = new Set();
    const walk = (m, t, set) => {
      for (const s of set.selections) {
        if (s.kind !== Kind.FIELD) continue;
        const c = t.name + '.' + s.name.value;
        if (s.name.value === '__typename') continue;
        if (!s.selectionSet) {
          this.ids.add(c);
          continue;
        }
        this.same.add(c);
        walk(m, m.types.get(named(t.fields.get(s.name.value).type)), s.selectionSet);
      }
    };
    for (const m of this.subgraphs.values()) for (const t of m.types.values()) for (const k of t.keys) walk(m, t, k);
    for (const set of [this.ids, this.same]) {
      for (const c of [...set]) {
        const [t, f] = c.split('.');
        for (const i of this.implementers.get(t) ?? []) set.add(i + '.' + f);
      }
    }
  }

  // declarations are those of a concrete type's field that have a resolver behind them.
  declarations(type, field) {
    const out = [];
    for (const m of this.subgraphs.values()) {
      for (const t of m.types.values()) {
        const applies = t.name === type || t.interfaceObject && this.implementers.get(t.name)?.has(type);
        const f = applies && t.fields.get(field);
        if (f && !f.external && !f.gone) out.push([m, f]);
      }
    }
    return out;
  }

  // meaning merges them: as strict as the strictest, with the concrete types that all of them have.
  meaning(type, field) {
    this.meanings ??= new Map();
    const key = type + '.' + field;
    if (this.meanings.has(key)) return this.meanings.get(key);
    const decls = this.declarations(type, field);
    if (!decls.length) throw new Error('nobody resolves ' + key);
    const strict = decls.map(([, f]) => f.type).reduce(stricter);
    const possible = decls.map(([m, f]) => this.possible(m, named(f.type))).reduce((a, b) => a.filter((x) => b.includes(x)));
    const requires = decls.map(([, f]) => f.requires).find(Boolean);
    const defaults = Object.fromEntries(decls[0][1].args.filter((a) => a.defaultValue).map((a) => [a.name.value, literal(a.defaultValue)]));
    const out = { type: strict, possible, requires, defaults };
    this.meanings.set(key, out);
    return out;
  }

  possible(m, name) {
    const t = m.types.get(name);
    if (!t) return [];
    if (t.interfaceObject) return [...this.implementers.get(name) ?? []].sort();
    if (t.kind === 'Union') return [...t.members].sort();
    if (t.kind === 'Interface') return [...m.types.values()].filter((o) => o.kind === 'Object' && o.interfaces.includes(name)).map((o) => o.name).sort();
    return [name];
  }

  // keyless tells whether an object has no value for a key that allows null.
  keyless(ref, field) {
    return ref.t.startsWith('N') && !this.full && hash(this.seed, ref.t, field, ref.i) % 3 === 0;
  }

  identity(ref, field, leaf) {
    if (leaf === 'Int') return this.numbers.indexOf(ref.t) * 1000 + ref.i;
    return ref.t + ':' + ref.i + ':' + field;
  }

  // find tells which object a representation is of; null for one whose keys have a null part: such a key is sent, and names no object.
  find(rep, sub) {
    const t = sub.types.get(rep.__typename);
    const hasNull = (v, set) => set.selections.some((s) => {
      const x = v?.[s.name.value];
      return x === null || (s.selectionSet !== undefined && x !== undefined && hasNull(x, s.selectionSet));
    });
    if (t.keys.some((key) => hasNull(rep, key))) return null;
    for (const key of t.keys) {
      const ref = this.match(rep, key, t);
      if (ref) return ref;
    }
    throw new Error('no key of ' + t.name + ' in ' + JSON.stringify(rep));
  }

  match(rep, key, t) {
    let number, type = this.objects.has(rep.__typename) ? rep.__typename : undefined;
    const walk = (v, set, own) => {
      for (const s of set.selections) {
        const name = s.name.value, x = v?.[name];
        if (name === '__typename') continue;
        if (x === undefined || x === null) return false;
        if (s.selectionSet) {
          if (!walk(x, s.selectionSet, false)) return false;
          continue;
        }
        const got = typeof x === 'number' ? { t: this.numbers[Math.floor(x / 1000)], i: x % 1000 } : { t: x.split(':')[0], i: Number(x.split(':')[1]) };
        if (own) {
          if (type !== undefined && type !== got.t) throw new Error('key of another type: ' + JSON.stringify(rep));
          type = got.t;
        }
        if (number !== undefined && number !== got.i) throw new Error('key of two objects: ' + JSON.stringify(rep));
        number = got.i;
      }
      return true;
    };
    return walk(rep, key, true) ? { t: type, i: number ?? 0 } : undefined;
  }

  // value is what a field holds. Objects are {t, i}.
  value(ref, field, args, required) {
    const c = ref.t + '.' + field;
    const m = this.meaning(ref.t, field);
    if (this.same.has(c)) return { t: m.possible[0], i: ref.i };
    if (this.ids.has(c) && this.keyless(ref, field)) return null;
    if (this.ids.has(c)) return this.identity(ref, field, named(m.type));
    if (m.requires && required === undefined) required = this.evaluate(ref, m.requires);
    if (this.absent(this.declarations(ref.t, field)[0][0], ref)) return null;
    if (ref.t.startsWith('N') && this.keyless(ref, 'nid') && ref.from !== this.declarations(ref.t, field)[0][0].name) return null;
    const h = hash(this.seed, c, ref.i, canonical(args), m.requires ? canonical(required) : '');
    if (field.startsWith('bad') && h % 3 === 0 && !this.full) throw new Error('bad ' + c);
    return this.from(this.declarations(ref.t, field)[0][0].name, this.make(m.type, m.possible, h));
  }

  // from notes which subgraph objects come from that may have no key.
  from(name, v) {
    if (Array.isArray(v)) return v.map((x) => this.from(name, x));
    return v?.t?.startsWith('N') ? { ...v, from: name } : v;
  }

  // absent tells whether a subgraph does not know an object, of the types of which that may be.
  absent(sub, ref) {
    return ref.t.startsWith('G') && hash(this.seed, sub.name, ref.t, ref.i) % 3 === 0;
  }

  make(type, possible, h) {
    if (type.kind === Kind.NON_NULL_TYPE) return this.force(type.type, possible, h);
    if (h % 6 === 0 && !this.full) return null;
    return this.force(type, possible, h);
  }

  force(type, possible, h) {
    if (type.kind === Kind.LIST_TYPE) return Array.from({ length: this.full ? 2 : h % 4 }, (_, n) => this.make(type.type, possible, hash(h, n)));
    const name = type.name.value;
    if (possible.length) {
      const t = possible[hash(h, 't', this.full) % possible.length];
      return { t, i: this.single.has(t) ? 0 : hash(h, 'i') % COUNT };
    }
    const values = this.enums.get(name);
    if (values) return values[h % values.length];
    return { Int: h % 1000, Float: h % 1000 + 0.5, Boolean: h % 2 === 0 }[name] ?? name + h % 10000;
  }

  // evaluate gives the values of a selection, as a representation has them.
  evaluate(ref, set) {
    const out = {};
    const put = (set) => {
      for (const s of set.selections) {
        if (s.kind === Kind.INLINE_FRAGMENT) {
          const on = s.typeCondition?.name.value;
          if (!on || on === ref.t || this.implementers.get(on)?.has(ref.t)) put(s.selectionSet);
          continue;
        }
        const args = { ...this.meaning(ref.t, s.name.value).defaults, ...Object.fromEntries((s.arguments ?? []).map((a) => [a.name.value, literal(a.value)])) };
        out[s.name.value] = this.deep(this.value(ref, s.name.value, args), s.selectionSet);
      }
    };
    put(set);
    return out;
  }

  deep(v, set) {
    if (v === null || !set) return v;
    if (Array.isArray(v)) return v.map((x) => this.deep(x, set));
    return this.evaluate(v, set);
  }

  // monolith resolves fields and types of the whole.
  monolith() {
    return {
      fieldResolver: (src, args, _, info) => this.value(src ?? { t: info.parentType.name, i: 0 }, info.fieldName, args),
      typeResolver: (v) => v.t,
    };
  }

  // subgraph resolves what one subgraph knows.
  subgraph(name) {
    const sub = this.subgraphs.get(name);
    const local = (v, type, more) => {
      if (v === null) return null;
      if (Array.isArray(v)) return v.map((x) => local(x, type, more));
      if (typeof v !== 'object') return v;
      const own = sub.types.get(getNamedType(type).name);
      return { __typename: own?.interfaceObject ? own.name : v.t, ref: v, ...more };
    };
    return {
      fieldResolver: (src, args, _, info) => {
        const field = info.fieldName, parent = info.parentType.name;
        if (parent === '_Service') return src.sdl;
        const ref = src?.ref ?? { t: parent, i: 0 };
        const def = sub.types.get(parent).fields.get(field);
        const provided = src?.provided && this.fieldOf(src.provided, ref.t, field);
        const coordinate = ref.t + '.' + field;
        if (def.gone) throw new Error(name + ' was asked for ' + coordinate + ', which is overridden');
        let required;
        if (def.external && !provided && !this.ids.has(coordinate) && !this.same.has(coordinate)) {
          throw new Error(name + ' was asked for ' + coordinate + ', which is external');
        }
        if (def.requires && src?.provided && this.covered(ref.t, src.provided, def.requires)) required = this.evaluate(ref, def.requires);
        else if (def.requires) required = this.pick(src?.rep, def.requires, coordinate, ref);
        const more = { provided: def.provides ?? provided?.selectionSet };
        return local(this.value(ref, field, args, required), info.returnType, more);
      },
      typeResolver: (v) => v.__typename,
      resolveReference: (rep) => {
        const ref = this.find(rep, sub);
        if (ref === null) return null;
        if (this.absent(sub, ref)) return null;
        const own = sub.types.get(rep.__typename);
        return { __typename: own.kind === 'Interface' ? ref.t : rep.__typename, ref, rep };
      },
    };
  }

  // fieldOf finds a field of a type in a selection.
  fieldOf(set, type, field) {
    for (const s of set.selections) {
      if (s.kind === Kind.FIELD) {
        if (s.name.value === field) return s;
        continue;
      }
      const on = s.typeCondition?.name.value;
      const found = (!on || on === type || this.implementers.get(on)?.has(type)) && this.fieldOf(s.selectionSet, type, field);
      if (found) return found;
    }
  }

  // covered tells whether what is provided has all that is required.
  covered(type, provided, required) {
    return required.selections.every((r) => r.kind === Kind.FIELD && !r.selectionSet && this.fieldOf(provided, type, r.name.value));
  }

  // pick takes what a field requires out of the representation.
  pick(rep, set, coordinate, ref) {
    const one = (v, set) => {
      if (v === null) return null;
      if (Array.isArray(v)) return v.map((x) => one(x, set));
      const out = {};
      for (const s of set.selections) {
        if (s.kind === Kind.INLINE_FRAGMENT) {
          const on = s.typeCondition?.name.value, is = v.__typename;
          if (is === undefined && v !== rep) throw new Error(coordinate + ' requires a fragment without __typename in ' + JSON.stringify(rep));
          const t = v === rep ? ref.t : is;
          if (!on || on === t || this.implementers.get(on)?.has(t)) Object.assign(out, one(v, s.selectionSet));
          continue;
        }
        const x = v[s.name.value];
        if (x === undefined) throw new Error(coordinate + ' requires ' + s.name.value + ', not in ' + JSON.stringify(rep));
        out[s.name.value] = s.selectionSet ? one(x, s.selectionSet) : x;
      }
      return out;
    };
    if (!rep) throw new Error(coordinate + ' has requirements, and was asked for without a representation');
    return one(rep, set);
  }
}

function named(type) {
  while (type.type) type = type.type;
  return type.name.value;
}

function stricter(a, b) {
  if (a.kind === Kind.NON_NULL_TYPE || b.kind === Kind.NON_NULL_TYPE) {
    return { kind: Kind.NON_NULL_TYPE, type: stricter(a.kind === Kind.NON_NULL_TYPE ? a.type : a, b.kind === Kind.NON_NULL_TYPE ? b.type : b) };
  }
  if (a.kind === Kind.LIST_TYPE && b.kind === Kind.LIST_TYPE) return { kind: Kind.LIST_TYPE, type: stricter(a.type, b.type) };
  return a;
}

function literal(v) {
  switch (v.kind) {
    case Kind.INT: case Kind.FLOAT: return Number(v.value);
    case Kind.LIST: return v.values.map(literal);
    case Kind.NULL: return null;
    case Kind.OBJECT: return Object.fromEntries(v.fields.map((f) => [f.name.value, literal(f.value)]));
  }
  return v.value;
}

module.exports = { World };
