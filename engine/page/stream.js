/**
 * Server-sent events, read by hand: `EventSource` can send no header, and a token has no place in
 * an address.  After a lost connection it goes on from the event that came last.
 */

import { listen } from "./session.js";

const SILENT_MS = 40000; // the engine says something every 15 s
const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 10000;

export class Stream {
  /** `take(kind, content)` gets each event, `turn(isLive, error)` how the connection is. */
  constructor(take, turn) {
    this.take = take;
    this.turn = turn;
    this.last = "";
    this.isOver = false;
    this.waited = 0;
  }

  async run() {
    while (!this.isOver) {
      try {
        await this.once();
        this.turn(false, null);
      } catch (error) {
        if (this.isOver) return;
        this.turn(false, error);
        if (error.status === 401 || error.status === 403) return;
      }
      if (this.isOver) return;
      await this.rest();
    }
  }

  /** Try again now. */
  hurry() {
    this.wake?.();
  }

  end() {
    this.isOver = true;
    this.stop?.abort();
    this.wake?.();
  }

  async rest() {
    this.waited = Math.min(Math.max(2 * this.waited, FIRST_WAIT_MS), LONGEST_WAIT_MS);
    await new Promise((resolve) => {
      const timer = setTimeout(resolve, this.waited * (0.75 + 0.5 * Math.random()));
      this.wake = () => { clearTimeout(timer); resolve(); };
    });
  }

  async once() {
    this.stop = new AbortController();
    let timer = 0;
    const heard = () => {
      clearTimeout(timer);
      timer = setTimeout(() => this.stop.abort(), SILENT_MS);
    };
    heard();
    try {
      const reader = await listen(this.last, this.stop.signal);
      this.turn(true, null);
      let rest = "";
      for (;;) {
        const { value, done } = await reader.read();
        if (done) return;
        heard();
        const blocks = (rest + value).split("\n\n");
        rest = blocks.pop();
        for (const block of blocks) this.block(block);
      }
    } finally {
      clearTimeout(timer);
      this.stop.abort();
    }
  }

  block(text) {
    const event = { id: "", event: "", data: "" };
    for (const line of text.split("\n")) {
      const colon = line.indexOf(": ");
      if (colon > 0) event[line.slice(0, colon)] = line.slice(colon + 2);
    }
    if (!event.data) return;
    this.waited = 0;
    this.take(event.event, JSON.parse(event.data));
    this.last = event.id;
  }
}
