/** The checkers of the simulation can fail: each history here breaks a promise, or just keeps it, and is told apart. */
import assert from "node:assert/strict";
import { describe, it } from "@jest/globals";
import type { KvRecord, Sibling } from "../../node/core/version/record.ts";
import { History } from "./history.ts";
import { Losses } from "./losses.ts";
import { Stamps } from "./stamps.ts";
import { A, B, C, createHistory, dot, KEY, knowing, NOTHING, onDisk, read, type Told, write } from "./told-history.ts";

describe("the history", () => {
  it("reports an acknowledged write that a later read misses, and the end", () => {
    const history = createHistory();
    write(history, { startedMs: 0 });
    assert.throws(() => history.checkRead(read(20, [], { context: NOTHING })), /missed write 1/);
    assert.throws(() => history.checkEnd(KEY, [], 100), /missed write 1/);
  });

  it("demands of a read by the ring's own R what the ring's own W acknowledged, whatever the two are at either time", () => {
    const history = new History({ replicationFactor: 3, writeQuorum: 1 });
    write(history, { startedMs: 0 });
    history.checkRead(read(20, [], { context: NOTHING, readQuorum: 1 }));
    history.checkRead(read(20, [], { context: NOTHING, readQuorum: 2 }));
    const byRing = read(20, [], { context: NOTHING, readQuorum: 1, meetsAll: true });
    assert.throws(() => history.checkRead(byRing), /missed write 1/);
    history.checkRead({ ...byRing, startedMs: 5 });
  });

  it("reports a value that nobody wrote, one before it was written, one that was refused, and one shown twice", () => {
    const history = createHistory();
    const refused = write(history, { startedMs: 0 }, { outcome: "none" });
    const later = write(history, { startedMs: 100 });
    assert.throws(() => history.checkRead(read(20, [refused])), /nothing stuck/);
    assert.throws(() => history.checkRead(read(20, [later])), /before it began/);
    assert.throws(() => history.checkRead(read(200, [later, later])), /twice/);
    assert.throws(() => history.checkRead({ ...read(200, []), shown: [77] }), /nobody wrote/);
  });

  it("reports that a write was shown whose client was told later that nothing stuck", () => {
    const history = createHistory();
    const begun = history.begin({
      key: KEY,
      kind: "sibling",
      isDelete: false,
      isNamed: false,
      past: new Set(),
      startedMs: 0,
    });
    history.checkRead(read(5, [begun]));
    assert.throws(() => history.end(begun, "none", 20), /was shown/);
  });

  describe("with a blind write of unknown outcome", () => {
    for (const isDelete of [true, false]) {
      const what = isDelete ? "delete" : "overwrite";
      it(`puts the loss of what was written before down to a ${what}, and of nothing that began after it`, () => {
        const history = createHistory();
        const before = write(history, { startedMs: 0 });
        const blind = write(
          history,
          { startedMs: 100, kind: "overwrite", isDelete },
          { outcome: "unknown", stampableUntilMs: 1_350 },
        );
        const shown = isDelete ? [] : [blind];
        assert(
          history.isAccountedFor(
            before,
            shown.map(({ id }) => id),
            2_000,
          ),
        );
        const after = write(history, { startedMs: 1_400 });
        assert.throws(() => history.checkRead(read(2_000, shown)), new RegExp(`missed write ${after.id}`));
        assert.throws(
          () =>
            history.checkEnd(
              KEY,
              shown.map(({ id }) => id),
              9_000,
            ),
          /missed write/,
        );
      });
    }

    it("lets it be shown at any time", () => {
      const history = createHistory();
      const blind = write(
        history,
        { startedMs: 0, kind: "overwrite" },
        { outcome: "unknown", stampableUntilMs: 1_250 },
      );
      history.checkRead(read(900_000, [blind]));
    });
  });

  describe("with an acknowledged overwrite whose token is known", () => {
    it("reports the loss of a write that the token does not cover", () => {
      const history = createHistory();
      const one = write(history, { startedMs: 0, kind: "sibling" });
      onDisk(history, one, dot(A, 1));
      const two = write(history, { startedMs: 1, kind: "sibling" });
      onDisk(history, two, dot(B, 1));
      const over = write(history, { startedMs: 20, kind: "overwrite" }, { token: knowing(dot(A, 2)) });
      assert(history.isAccountedFor(one, [over.id], 100));
      assert(!history.isAccountedFor(two, [over.id], 100));
      assert.throws(() => history.checkEnd(KEY, [over.id], 100), /missed write 2/);
      history.checkEnd(KEY, [over.id, two.id], 100);
    });

    describe("that is sent again after it was acknowledged", () => {
      const sentAgain = (losses: Losses) => {
        const history = createHistory(losses);
        const over = write(history, { startedMs: 0, kind: "overwrite" }, { token: knowing(dot(A, 2)) });
        const later = write(history, { startedMs: 40, kind: "sibling" });
        onDisk(history, later, dot(B, 1));
        over.restamps = 1;
        over.stampableUntilMs = 60;
        return { history, over, later };
      };

      it("reports that it replaced what came after it", () => {
        const { history, over, later } = sentAgain(new Losses());
        assert(!history.isAccountedFor(later, [over.id], 100));
        assert.throws(() => history.checkEnd(KEY, [over.id], 100), /missed write 2/);
        history.checkEnd(KEY, [over.id, later.id], 100);
      });

      it("lets it do so where a power cut had destroyed it, and its name with it", () => {
        const losses = new Losses();
        losses.note({ kind: "power", member: "a-0", key: KEY, fromMs: 0, atMs: 20 });
        const { history, over, later } = sentAgain(losses);
        assert(history.isAccountedFor(later, [over.id], 100));
        history.checkEnd(KEY, [over.id], 100);
      });
    });

    it("guesses by time where either may have been stamped twice, or a dot is not known", () => {
      const history = createHistory();
      const one = write(history, { startedMs: 0, kind: "sibling" }, { restamps: 1 });
      onDisk(history, one, dot(A, 1));
      const two = write(history, { startedMs: 1, kind: "sibling" });
      const over = write(history, { startedMs: 20, kind: "overwrite" }, { token: knowing(dot(B, 2)) });
      assert(history.isAccountedFor(one, [over.id], 100));
      assert(history.isAccountedFor(two, [over.id], 100));
    });
  });

  describe("with a value that a strict read showed, and nobody acknowledged", () => {
    const shownOnce = () => {
      const history = createHistory();
      const unknown = write(history, { startedMs: 0, kind: "sibling" }, { outcome: "unknown" });
      history.checkRead(read(20, [unknown]));
      return { history, unknown };
    };

    it("reports that a later read misses it, and the end", () => {
      const { history } = shownOnce();
      assert.throws(() => history.checkRead(read(30, [])), /missed write 1, unknown/);
      assert.throws(() => history.checkEnd(KEY, [], 100), /missed write 1/);
    });

    it("does not hold it against a read that began before the first ended", () => {
      const { history } = shownOnce();
      history.checkRead(read(24, []));
    });

    it("does not hold it against a read of replicas that need not overlap with those of the first", () => {
      const history = createHistory();
      const unknown = write(history, { startedMs: 0, kind: "sibling" }, { outcome: "unknown" });
      history.checkRead(read(20, [unknown], { readQuorum: 1 }));
      history.checkRead(read(30, [], { readQuorum: 2 }));
    });
  });

  describe("with a value that was replaced", () => {
    const replaced = (told: Told = {}, losses = new Losses()) => {
      const history = createHistory(losses);
      const first = write(history, { startedMs: 0, isNamed: true }, told);
      const second = write(history, { startedMs: 400, past: new Set([first.id]) });
      return { history, first, second };
    };

    it("reports that it comes back, alone or beside what replaced it", () => {
      const { history, first, second } = replaced();
      assert.throws(() => history.checkRead(read(500, [first])), /replaced for good/);
      assert.throws(() => history.checkRead(read(500, [second, first])), /which had seen it/);
      assert.throws(() => history.checkEnd(KEY, [first.id, second.id], 900), /which had seen it/);
    });

    it("reports that a deleted value comes back", () => {
      const history = createHistory();
      const value = write(history, { startedMs: 0 });
      write(history, { startedMs: 100, isDelete: true, past: new Set([value.id]) });
      history.checkRead(read(200, []));
      assert.throws(() => history.checkRead(read(300, [value])), /replaced for good/);
      assert.throws(() => history.checkEnd(KEY, [value.id], 400), /replaced for good/);
    });

    it("reports that a value comes back that a read knew to be gone", () => {
      const history = createHistory();
      const value = write(history, { startedMs: 0 });
      onDisk(history, value, dot(A, 1));
      write(history, { startedMs: 100, kind: "overwrite", isDelete: true }, { outcome: "unknown" });
      history.checkRead(read(200, [], { context: knowing(dot(A, 1), dot(B, 1)) }));
      assert.throws(
        () => history.checkRead(read(300, [value], { context: knowing(dot(A, 1), dot(B, 1)) })),
        /for good/,
      );
    });

    it("lets it stand beside its successor for a while where a second home may have stamped it, but not at the end", () => {
      const { history, first, second } = replaced({ restamps: 1 });
      history.checkRead(read(500, [second, first]));
      assert.throws(() => history.checkEnd(KEY, [first.id, second.id], 900), /which had seen it/);
    });

    it("lets it stand at the end too where a disk that held one of its stamps was destroyed", () => {
      const power = { kind: "power", member: "n1", key: KEY, fromMs: 5, atMs: 600 } as const;
      const losses = new Losses();
      losses.note({ ...power, fromMs: 11 });
      const { history, first, second } = replaced({ restamps: 1 }, losses);
      assert.throws(() => history.checkEnd(KEY, [first.id, second.id], 900), /which had seen it/);
      losses.note(power);
      history.checkEnd(KEY, [first.id, second.id], 900);
    });

    it("reports one of a single stamp that stands at the end, whatever was destroyed", () => {
      const losses = new Losses();
      losses.note({ kind: "disk", member: "n1", key: undefined, fromMs: Number.NEGATIVE_INFINITY, atMs: 600 });
      const { history, first, second } = replaced({}, losses);
      assert.throws(() => history.checkEnd(KEY, [first.id, second.id], 900), /which had seen it/);
    });

    it("takes a write that took long for stamped twice only where nobody counted", () => {
      const { history, first, second } = replaced({ endedMs: 300 });
      assert.throws(() => history.checkRead(read(500, [second, first])), /which had seen it/);
    });
  });

  describe("what reads know", () => {
    it("reports a read that knows less than an acknowledged write did", () => {
      const history = createHistory();
      const one = write(history, { startedMs: 0, kind: "sibling" }, { token: knowing(dot(A, 1)) });
      assert.throws(() => history.checkRead(read(50, [one], { context: knowing(dot(B, 9)) })), /knows less/);
      history.checkRead(read(50, [one], { context: knowing(dot(A, 1)) }));
    });

    it("reports a read that knows less than one before it: reads are monotonic, whoever makes them", () => {
      const history = createHistory();
      history.checkRead(read(0, [], { context: knowing(dot(A, 1), dot(B, 1)) }));
      assert.throws(() => history.checkRead(read(10, [], { context: knowing(dot(A, 1)) })), /knows less/);
      assert.throws(() => history.checkRead(read(10, [])), /knows less/);
    });

    it("remembers all of it through many reads", () => {
      const history = createHistory();
      history.checkRead(read(0, [], { context: knowing(dot(C, 1)) }));
      for (let i = 1; i < 200; i++) history.checkRead(read(10 * i, [], { context: knowing(dot(A, i), dot(C, 1)) }));
      assert.throws(() => history.checkRead(read(9_000, [], { context: knowing(dot(A, 500)) })), /knows less/);
      assert.throws(() => history.checkEnd(KEY, [], 9_000, { context: knowing(dot(A, 500)) }), /knows less/);
    });
  });

  describe("with losses", () => {
    const power = { kind: "power", member: "n1", key: KEY, fromMs: 0, atMs: 50 } as const;

    it("excuses a strict read that misses what a loss of power took, and the end only when W disks were hit", () => {
      const losses = new Losses();
      const history = createHistory(losses);
      write(history, { startedMs: 0 });
      losses.note(power);
      history.checkRead(read(100, []));
      assert.throws(() => history.checkEnd(KEY, [], 200), /missed write 1/);
      losses.note({ ...power, atMs: 60 });
      assert.throws(() => history.checkEnd(KEY, [], 200), /missed write 1/, "twice the same disk is one");
      losses.note({ ...power, member: "n2" });
      history.checkEnd(KEY, [], 200);
    });

    it("excuses nothing that was written before what was lost, or after the loss, or to another key", () => {
      for (const loss of [
        { ...power, fromMs: 20 },
        { ...power, atMs: -1 },
        { ...power, key: "key 1" },
      ]) {
        const losses = new Losses();
        const history = createHistory(losses);
        write(history, { startedMs: 0 });
        losses.note(loss);
        losses.note({ ...loss, member: "n2" });
        assert.throws(() => history.checkRead(read(100, [])), /missed write 1/);
        assert.throws(() => history.checkEnd(KEY, [], 200), /missed write 1/);
      }
    });

    it("excuses no strict read where a disk was exchanged and a record rotted on another, while a third holds it", () => {
      const losses = new Losses();
      const history = new History({ replicationFactor: 3, writeQuorum: 3 }, losses);
      write(history, { startedMs: 0 });
      losses.note({ ...power, kind: "rot" });
      assert.throws(() => history.checkRead(read(100, [])), /missed write 1/);
      losses.note({ kind: "disk", member: "n2", key: undefined, fromMs: Number.NEGATIVE_INFINITY, atMs: 60 });
      assert.throws(() => history.checkRead(read(100, [])), /missed write 1/);
      assert.throws(() => history.checkEnd(KEY, [], 200), /missed write 1/);
    });

    it("excuses no strict read for an exchanged disk, which counts only when it has been filled", () => {
      const losses = new Losses();
      const history = createHistory(losses);
      write(history, { startedMs: 0 });
      losses.note({ kind: "disk", member: "n1", key: undefined, fromMs: Number.NEGATIVE_INFINITY, atMs: 50 });
      assert.throws(() => history.checkRead(read(100, [])), /missed write 1/);
    });
  });

  it("excuses a second stamp at the end only when so much was written since that its name may be forgotten", () => {
    for (const since of [10, 40]) {
      const history = createHistory();
      const first = write(history, { startedMs: 0, isNamed: true }, { restamps: 1 });
      const others = Array.from({ length: since }, (_, i) => write(history, { startedMs: 20 * (i + 1) }).id);
      const last = write(history, { startedMs: 2_000, past: new Set([first.id, ...others]) });
      const look = () => history.checkEnd(KEY, [first.id, last.id], 3_000);
      if (since > 32) look();
      else assert.throws(look, /which had seen it/);
    }
  });
});

describe("dots", () => {
  it("are reported when one names two writes", () => {
    const stamps = new Stamps();
    const holding = (id: string): KvRecord => ({
      context: knowing(dot(A, 1)),
      eventsSeen: [],
      siblings: [
        {
          dot: dot(A, 1),
          value: new TextEncoder().encode(id),
          contentType: "",
          writtenAtMs: 0,
          expiresAtMs: undefined,
        },
      ],
      events: [],
    });
    const idOf = ({ value }: Sibling) => Number(new TextDecoder().decode(value));
    stamps.observe(KEY, holding("1"), idOf);
    stamps.observe(KEY, holding("1"), idOf);
    assert.throws(() => stamps.observe(KEY, holding("2"), idOf), /names one write/);
    assert.throws(() => stamps.observe("key 1", holding("1"), idOf), /names one write/);
  });
});
