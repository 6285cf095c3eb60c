/**
 * The part of the W3C Data Privacy Vocabulary's purpose hierarchy (DPV 2.1, module purposes) that providers name most,
 * as [narrower, broader]. A policy that allows a purpose allows the narrower ones.
 */
export const DPV_NARROWER: readonly (readonly [string, string])[] = [
  ['AcademicResearch', 'ResearchAndDevelopment'],
  ['CommercialResearch', 'ResearchAndDevelopment'],
  ['NonCommercialResearch', 'ResearchAndDevelopment'],
  ['ScientificResearch', 'ResearchAndDevelopment'],
  ['MedicalResearch', 'ScientificResearch'],
  ['FraudPreventionAndDetection', 'EnforceSecurity'],
  ['CounterMoneyLaundering', 'FraudPreventionAndDetection'],
  ['MaintainFraudDatabase', 'FraudPreventionAndDetection'],
  ['MaintainCreditCheckingDatabase', 'CustomerManagement'],
  ['CreditChecking', 'CustomerSolvencyMonitoring'],
  ['MaintainCreditRatingDatabase', 'CreditChecking'],
  ['CustomerSolvencyMonitoring', 'CustomerManagement'],
  ['CustomerCare', 'CustomerManagement'],
  ['CustomerClaimsManagement', 'CustomerManagement'],
  ['RiskManagement', 'OrganisationGovernance'],
  ['OrganisationRiskManagement', 'RiskManagement'],
  ['OrganisationComplianceManagement', 'OrganisationGovernance'],
  ['DisputeManagement', 'OrganisationGovernance'],
  ['ServiceOptimisation', 'ServiceProvision'],
  ['InternalResourceOptimisation', 'ServiceOptimisation'],
  ['OptimisationForConsumer', 'ServiceOptimisation'],
  ['OptimisationForController', 'ServiceOptimisation'],
  ['RequestedServiceProvision', 'ServiceProvision'],
  ['ServiceUsageAnalytics', 'ServiceProvision'],
  ['TechnicalServiceProvision', 'ServiceProvision'],
  ['SellProducts', 'ServiceProvision'],
  ['Advertising', 'Marketing'],
  ['PersonalisedAdvertising', 'Advertising'],
  ['TargetedAdvertising', 'PersonalisedAdvertising'],
  ['DirectMarketing', 'Marketing'],
  ['PublicRelations', 'Marketing'],
  ['SocialMediaMarketing', 'Marketing'],
  ['PaymentManagement', 'FulfilmentOfContractualObligation'],
  ['ProvideOfficialStatistics', 'PublicBenefit'],
  ['ProtectionOfPublicSecurity', 'PublicBenefit'],
  ['ProtectionOfNationalSecurity', 'PublicBenefit'],
];

const PREFIXES = ['https://w3id.org/dpv#', 'https://w3id.org/dpv/', 'dpv:'];

/** The plain name of a purpose, whichever way it was written. */
export function purposeName(purpose: string): string {
  const prefix = PREFIXES.find((one) => purpose.startsWith(one));
  return prefix === undefined ? purpose : purpose.slice(prefix.length);
}

/** Whether a purpose is the allowed one or narrower. Purposes outside of the vocabulary include only themselves. */
export function purposeIncludes(allowed: string, purpose: string): boolean {
  const broad = purposeName(allowed);
  let frontier = new Set([purposeName(purpose)]);
  while (frontier.size > 0) {
    if (frontier.has(broad)) return true;
    const reached = frontier;
    frontier = new Set(DPV_NARROWER.filter(([below]) => reached.has(below)).map(([, above]) => above));
  }
  return false;
}
