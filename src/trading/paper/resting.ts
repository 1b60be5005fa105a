/**
 * The open orders of one instrument: limits in line to be filled, stops in line to be triggered.
 */
import { unreachable } from "../../core/types.ts";
import type { PaperOrder } from "../../ports/paper.ts";
import { Ladder, type Rung } from "./ladder.ts";

export class Resting {
  readonly buys = new Ladder(true);
  readonly sells = new Ladder(false);
  /** A buy stop waits for a rise: the lowest is the first. */
  readonly buyStops = new Ladder(false);
  readonly sellStops = new Ladder(true);

  get isEmpty(): boolean {
    return this.buys.size + this.sells.size + this.buyStops.size + this.sellStops.size === 0;
  }

  add(order: PaperOrder): void {
    this.#ladderOf(order).add(rungOf(order));
  }

  remove(order: PaperOrder): void {
    this.#ladderOf(order).remove(rungOf(order));
  }

  #ladderOf({ side, isTriggered }: PaperOrder): Ladder {
    switch (side) {
      case "buy": return isTriggered ? this.buys : this.buyStops;
      case "sell": return isTriggered ? this.sells : this.sellStops;
      default: return unreachable(side);
    }
  }
}

function rungOf({ number, priority, isTriggered, limitPrice, stopPrice }: PaperOrder): Rung {
  const price = isTriggered ? limitPrice : stopPrice;
  if (price === null) throw new Error(`expected a price of open order ${number}`);
  return { price, priority, order: number };
}
