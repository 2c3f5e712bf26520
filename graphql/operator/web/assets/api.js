// The operator API over HTTP: queries, and the subscription to changes as server-sent events.

export class Refused extends Error {}

export class Api {
  constructor(token) { this.token = token; }

  async post(query, variables, accept, signal, path = 'graphql') {
    const response = await fetch(path, {
      method: 'POST', signal,
      headers: {'Content-Type': 'application/json', Accept: accept, Authorization: `Bearer ${this.token}`},
      body: JSON.stringify({query, variables}),
    });
    if (response.status === 401) throw new Refused(await response.text());
    if (!response.ok && !response.headers.get('Content-Type')?.includes('json')) {
      throw new Error(`the node answers ${response.status}: ${await response.text()}`);
    }
    return response;
  }

  /** query resolves to the data, and throws what the node says is wrong. */
  async query(query, variables = {}, signal, path = 'graphql') {
    const response = await this.post(query, variables, 'application/json', signal, path);
    const {data, errors} = await response.json();
    if (errors?.length) throw new Error(errors.map((e) => e.message).join('; '));
    return data;
  }

  /** mesh asks every node of the organisation, through this one. */
  get mesh() { return {query: (query, variables, signal) => this.query(query, variables, signal, 'mesh')}; }

  /** subscribe calls each with every element, until the node ends the stream or signal aborts. */
  async subscribe(query, variables, signal, each) {
    const response = await this.post(query, variables, 'text/event-stream', signal);
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = '';
    for (;;) {
      const {value, done} = await reader.read();
      if (done) return;
      rest += value;
      let end;
      while ((end = rest.indexOf('\n\n')) >= 0) {
        const event = rest.slice(0, end);
        rest = rest.slice(end + 2);
        const data = event.split('\n').filter((l) => l.startsWith('data:')).map((l) => l.slice(5).trim()).join('');
        if (event.includes('event: complete')) return;
        if (data) {
          const {data: element, errors} = JSON.parse(data);
          if (errors?.length) throw new Error(errors[0].message);
          each(element);
        }
      }
    }
  }
}
