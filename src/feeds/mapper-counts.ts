/**
 * What a mapper left out on purpose, counted: everything that arrived is an event, a control, malformed, or in here.
 */
import type { MetricSample } from "../ports/telemetry.ts";

export class MapperCounts {
  /** Trades from before the subscription that the venue sends along (`last_match`, trade snapshots): no new trades. */
  historical = 0;
  /** Updates that the snapshot already contains, and repeats of a message. */
  outdated = 0;
  /** Book updates that came while there was no whole book to apply them to. */
  unappliable = 0;
  /** Pushed out of a full buffer: book updates that waited for a snapshot, precisions of pairs. */
  overflowed = 0;
  /** Levels that gave way because their side of the book was full. */
  evicted = 0;
  /** Messages of instruments that are not carried. */
  unknown = 0;
  /** Messages that say that there is nothing: a quote or ticker of zeros, an update without a level. */
  empty = 0;
  /** Best-bid-offer messages that were not needed, because quotes come from the book. */
  superseded = 0;
  /** Books that agreed with the checksum sent along, and that did not. */
  proved = 0;
  disproved = 0;
  /** Events stamped with another time, because the venue gave none or nonsense. */
  untimed = 0;

  /** One counter per reason; `labels` say which venue and connection. */
  samples(labels: Readonly<Record<string, string>>): MetricSample[] {
    const reasons: [string, number][] = [
      ["historical", this.historical], ["outdated", this.outdated], ["unappliable", this.unappliable],
      ["overflowed", this.overflowed], ["evicted", this.evicted], ["unknown", this.unknown], ["empty", this.empty], ["superseded", this.superseded],
    ];
    const samples = reasons.map(([reason, value]): MetricSample => ({
      name: "ticker_mapper_left_out_total", help: "Parts of venue messages that became no event, by reason.",
      type: "counter", labels: { ...labels, reason }, value,
    }));
    for (const [result, value] of [["agreed", this.proved], ["differed", this.disproved]] as const) {
      samples.push({
        name: "ticker_mapper_checksums_total", help: "Books compared with the venue's checksum, by result.",
        type: "counter", labels: { ...labels, result }, value,
      });
    }
    samples.push({
      name: "ticker_mapper_untimed_total", help: "Events whose venue time was missing or nonsense.",
      type: "counter", labels, value: this.untimed,
    });
    return samples;
  }
}
