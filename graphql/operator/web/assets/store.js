// What the page knows of the node: every service, kept by the subscription to changes, and whether it still hears of it.

const changes = `subscription { changes(peers: true) { kind service skipped session { peer to reason }
  route { service protocol health port problem paths { peer local nodePath origin tier stale rejected health } } } }`;

const overview = `{ node { id organisation version startedAt certificateExpiresAt identityError routes paths published
  draining envoyPid envoyReady missing warnings peeringAddress ingressAddress egressAddress }
  peers { node external state since received rejected stale advertised pending lastError lastErrorByPeer disabled notice } }`;

export class Store extends EventTarget {
  constructor(api) {
    super();
    this.api = api;
    this.services = new Map();
    this.sorted = null;      // names in order; null when they have changed
    this.node = null;
    this.peers = [];
    this.heard = 0;          // when the node last said something
    this.state = 'connecting';
    this.sessions = [];      // what sessions did, newest first, 50 at most
    this.behind = 0;         // states that were skipped because newer ones replaced them
  }

  /** run follows the node until stop aborts, and connects again when it is lost. */
  async run(stop) {
    let pause = 250;
    while (!stop.aborted) {
      const fresh = new Map();
      try {
        await this.refresh(stop);
        let synced = false;
        await this.api.subscribe(changes, {}, stop, ({changes: c}) => {
          this.heard = Date.now();
          pause = 250;
          const into = synced ? this.services : fresh;
          if (c.kind === 'synced') {
            synced = true;
            this.services = fresh;
            this.sorted = null;
            this.become('live');
          } else if (c.kind === 'removed') {
            into.delete(c.service);
            this.sorted = null;
          } else if (c.route) {
            if (!into.has(c.service)) this.sorted = null;
            into.set(c.service, c.route);
          }
          if (c.kind === 'coalesced') this.behind += c.skipped;
          if (c.kind === 'session') {
            this.sessions.unshift({...c.session, at: new Date().toISOString()});
            this.sessions.length = Math.min(this.sessions.length, 50);
            this.refresh(stop).catch(() => {});
          }
          if (synced) this.changed();
        });
      } catch (error) {
        if (stop.aborted) return;
        this.error = error;
        this.dispatchEvent(new CustomEvent('refused', {detail: error}));
      }
      this.become('lost');
      await new Promise((resolve) => setTimeout(resolve, pause));
      pause = Math.min(pause * 2, 5000);
    }
  }

  async refresh(stop) {
    const {node, peers} = await this.api.query(overview, {}, stop);
    this.node = node;
    this.peers = peers;
    this.heard = Date.now();
    this.changed();
  }

  become(state) {
    if (this.state !== state) this.since = Date.now();
    this.state = state;
    this.changed();
  }

  /** changed tells the page, once for all changes before the next frame. */
  changed() {
    if (this.pending) return;
    this.pending = true;
    requestAnimationFrame(() => { this.pending = false; this.dispatchEvent(new Event('change')); });
  }

  names() {
    this.sorted ??= [...this.services.keys()].sort();
    return this.sorted;
  }

  get self() { return short(this.node?.id ?? ''); }
}

/** short makes acme.example/b of spiffe://acme.example/node/b. */
export const short = (id) => id.replace(/^spiffe:\/\/([^/]+)\/node\//, '$1/');
