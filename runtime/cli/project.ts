import type { Command } from 'commander';
import { actAs, type CommonOptions, withCommon } from './command.ts';
import { tableText } from './output.ts';

export function addProject(program: Command): void {
  const project = program
    .command('project')
    .description('names for sets of agreements, so that one job uses datasets of several providers');
  withCommon(
    project.command('save <name>').description('name a set of your agreements; jobs run under all their policies'),
    'glovebox project save study --agreement agr-… agr-… --as acme.credential.json',
  )
    .requiredOption('--agreement <id...>', 'the agreements, at most one per dataset')
    .action((name: string, options: CommonOptions & { agreement: readonly string[] }) =>
      actAs(options, async (glovebox, out) => {
        const { project: saved } = await glovebox.agreements.saveProject({ name, agreementIds: options.agreement });
        out.answer({ project: saved }, () => `saved ${name}: ${saved?.datasets.join(', ') ?? ''}`);
      }),
    );
  withCommon(project.command('list').description('your projects'), 'glovebox project list').action(
    (options: CommonOptions) =>
      actAs(options, async (glovebox, out) => {
        const { projects } = await glovebox.agreements.listProjects({});
        out.answer({ projects }, () =>
          tableText(
            ['project', 'agreement', 'dataset', 'provider'],
            projects.flatMap(({ name, agreementIds, datasets, providers }) =>
              agreementIds.map((id, at) => [name, id, datasets[at] ?? '', providers[at] ?? '']),
            ),
          ),
        );
      }),
  );
  withCommon(
    project.command('remove <name>').description('forget a project; its agreements stay'),
    'glovebox project remove study',
  ).action((name: string, options: CommonOptions) =>
    actAs(options, async (glovebox, out) => {
      await glovebox.agreements.saveProject({ name, agreementIds: [] });
      out.answer({ project: null }, () => `removed ${name}`);
    }),
  );
}
