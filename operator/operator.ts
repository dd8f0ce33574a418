/** One operator, wired from its ports: used by `main.ts` and by the simulation alike. */
import type { Policy } from "./core/world.ts";
import type { CertificateMaker, Kube, NodeAdmin, Random, Telemetry, Time } from "./ports.ts";
import { createBackupController } from "./services/backup-controller.ts";
import { createBackupReconciler } from "./services/backup-reconciler.ts";
import { type Controller, createController } from "./services/controller.ts";
import { createEvents } from "./services/events.ts";
import { createLeadership, type Leadership, type LeadershipOptions } from "./services/leadership.ts";
import { createObserver } from "./services/observe.ts";
import { createBackupObserver } from "./services/observe-backup.ts";
import { createReconciler } from "./services/reconciler.ts";

export type OperatorPorts = {
  readonly kube: Kube;
  readonly admin: NodeAdmin;
  readonly certificates: CertificateMaker;
  readonly time: Time;
  readonly random: Random;
  readonly telemetry: Telemetry;
};

export type OperatorOptions = {
  readonly policy: Policy;
  readonly lease: LeadershipOptions;
  /** The one namespace to see to; empty: all. */
  readonly watchNamespace: string;
};

export type Operator = {
  start(): void;
  leads(): boolean;
  /** Ends the work in hand, then gives the lease up. */
  stop(): Promise<void>;
};

/** Makes an operator; it works while it leads. */
export function createOperator(ports: OperatorPorts, { policy, lease, watchNamespace }: OperatorOptions): Operator {
  const { telemetry } = ports;
  const events = createEvents(ports, { instance: lease.identity });
  const observe = createObserver(ports, policy);
  const observeBackup = createBackupObserver(ports, policy);
  let controllers: readonly Controller[] = [];
  const mayAct = () => leadership.leads();
  const leadership: Leadership = createLeadership(ports, lease, (isLeader) => {
    if (isLeader) {
      const reconciler = createReconciler({ ...ports, events, observe, presets: policy, mayAct });
      const backups = createBackupReconciler({ ...ports, events, observe: observeBackup, mayAct });
      controllers = [
        createController({ ...ports, reconciler, watchNamespace }),
        createBackupController({ ...ports, reconciler: backups, watchNamespace }),
      ];
      for (const controller of controllers) controller.start();
    } else {
      // What is in work ends by itself: before each action it asks whether it still may.
      for (const controller of controllers) void controller.stop();
      controllers = [];
    }
  });
  telemetry.gauge("annulus.operator.leads", () => (leadership.leads() ? 1 : 0));
  return {
    start: () => leadership.start(),
    leads: () => leadership.leads(),
    async stop() {
      await Promise.all(controllers.map((controller) => controller.stop()));
      await leadership.stop();
    },
  };
}
