/**
 * The operator in production: settings to adapters to operator, signals to a clean stop, bugs to an end at once. One in the run
 * of a single object ends that run only (services/controller.ts).
 *
 * Exit codes: 0 stopped as told, 1 did not stop in time, 70 a bug, 78 wrong settings. No logic of its own.
 */
import { KubeConfig } from "@kubernetes/client-node";
import { systemRandom, systemTime } from "../node/adapters/system.ts";
import { createTelemetry } from "../node/adapters/telemetry/telemetry.ts";
import { createCertificateMaker } from "./adapters/certificates.ts";
import { createKube } from "./adapters/kube.ts";
import { createNodeAdmin } from "./adapters/node-admin.ts";
import { serveProbes } from "./adapters/probes.ts";
import { loadOperatorConfig, type OperatorConfig, OperatorConfigError } from "./config.ts";
import { createOperator } from "./operator.ts";

const STOP_MS_MAX = 10_000;
/** A process whose every watch has been silent for so long is better started anew. Where one alone is, its kind is refused. */
const SILENT_MS_MAX = 900_000;
/** Of the lease's duration: how long after a renewal a leader may act, and how often it renews. */
const RENEW_DEADLINE_SHARE = 2 / 3;
const RETRY_SHARE = 2 / 15;

function configOrExit(): OperatorConfig {
  try {
    return loadOperatorConfig(process.env);
  } catch (error) {
    if (!(error instanceof OperatorConfigError)) throw error;
    process.stderr.write(`annulus-operator: ${error.message}\n`);
    process.exit(78);
  }
}

async function run(): Promise<void> {
  const config = configOrExit();
  const identity = config.ANNULUS_OPERATOR_IDENTITY;
  const { telemetry, metricsText } = await createTelemetry({
    level: config.ANNULUS_OPERATOR_LOG_LEVEL,
    nodeName: identity,
    isTerminal: process.stdout.isTTY === true,
    program: "operator",
    about: { "service.name": "annulus-operator", "service.instance.id": identity },
  });
  const crash = (error: unknown) => {
    telemetry.log("error", "operator.bug", { cause: error });
    process.exit(70);
  };
  process.on("uncaughtException", crash);
  process.on("unhandledRejection", crash);
  const kubeConfig = new KubeConfig();
  kubeConfig.loadFromDefault();
  const ports = { time: systemTime, random: systemRandom(), telemetry };
  const kube = createKube(kubeConfig, ports);
  telemetry.gauge("annulus.operator.watch.silence", () => kube.silentMs());
  const durationMs = config.ANNULUS_OPERATOR_LEASE_DURATION_MS;
  const operator = createOperator(
    { ...ports, kube, admin: createNodeAdmin(systemTime), certificates: createCertificateMaker() },
    {
      watchNamespace: config.ANNULUS_OPERATOR_WATCH_NAMESPACE,
      policy: {
        nodeImage: config.ANNULUS_OPERATOR_NODE_IMAGE,
        operatorNamespace: config.ANNULUS_OPERATOR_NAMESPACE,
        adminTls: config.ANNULUS_OPERATOR_ADMIN_TLS,
      },
      lease: {
        identity,
        namespace: config.ANNULUS_OPERATOR_NAMESPACE,
        name: "annulus-operator",
        durationMs,
        renewDeadlineMs: durationMs * RENEW_DEADLINE_SHARE,
        retryMs: durationMs * RETRY_SHARE,
      },
    },
  );
  const sick = () => (kube.unheardMs() > SILENT_MS_MAX ? "the API server has not been heard of\n" : undefined);
  await serveProbes({ sick, metricsText }, config.ANNULUS_OPERATOR_PORT);
  operator.start();
  telemetry.log("info", "operator.started", { identity, pid: process.pid });
  let isStopping = false;
  for (const signal of ["SIGTERM", "SIGINT"] as const)
    process.on(signal, () => {
      if (isStopping) return;
      isStopping = true;
      telemetry.log("info", "operator.stopping", { signal });
      setTimeout(() => process.exit(1), STOP_MS_MAX);
      void operator.stop().then(() => process.exit(0));
    });
}

await run();
