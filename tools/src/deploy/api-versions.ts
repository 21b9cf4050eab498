/**
 * The versions of Azure's interfaces that generated files name, in one place.
 * Source: docs-and-reliability 1.1 and 1.9 (extensions: 2025-04-01 is the version from which automatic upgrades are on
 * unless a template says otherwise; 2026-03-01 is the newest one that a published client sends); sdk-anchors 5 (shared
 * extensions: the templates of publishers use 2019-12-01 and 2021-07-01).
 */
export const API_VERSIONS = {
  /** `Microsoft.Compute/virtualMachines/extensions` and the machine itself. */
  machineExtension: '2025-04-01',
  /** `Microsoft.Compute/virtualMachineScaleSets/extensions`. */
  scaleSetExtension: '2025-04-01',
  /** `Microsoft.Compute/sharedVMExtensions` and its versions. */
  publishedExtension: '2021-07-01',
} as const;

/** The schema of templates for a resource group. */
export const TEMPLATE_SCHEMA =
  'https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#';
/** The schema of parameter files. */
export const PARAMETERS_SCHEMA =
  'https://schema.management.azure.com/schemas/2019-04-01/deploymentParameters.json#';

/** The resource types that the formats make or look up. */
export const RESOURCE_TYPES = {
  machine: 'Microsoft.Compute/virtualMachines',
  machineExtension: 'Microsoft.Compute/virtualMachines/extensions',
  scaleSet: 'Microsoft.Compute/virtualMachineScaleSets',
  scaleSetExtension: 'Microsoft.Compute/virtualMachineScaleSets/extensions',
  publishedExtension: 'Microsoft.Compute/sharedVMExtensions',
  publishedVersion: 'Microsoft.Compute/sharedVMExtensions/versions',
} as const;
