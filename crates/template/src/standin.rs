//! What stands in for a value that only AWS knows: texts of the right form, the same at every start.
//!
//! A handler that takes an ARN apart, or hands a URL to a client, is to find what it expects there; that nothing answers at
//! the other end is told when the template is read, not here.

/// Where stand-ins are said to be.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub region: &'a str,
    pub account: &'a str,
}

/// An id where AWS has one of its own making.
const UUID: &str = "00000000-0000-0000-0000-000000000000";
const API_ID: &str = "tailrace00";

impl Place<'_> {
    /// What `Ref` gives for a resource of this type with this name.
    pub(crate) fn reference(self, kind: &str, name: &str) -> String {
        let hex = "0".repeat(17);
        match kind {
            "AWS::SQS::Queue" => self.queue_url(name),
            "AWS::SNS::Topic"
            | "AWS::StepFunctions::StateMachine"
            | "AWS::Serverless::StateMachine"
            | "AWS::SecretsManager::Secret"
            | "AWS::IAM::ManagedPolicy"
            | "AWS::AppSync::GraphQLApi"
            | "AWS::CertificateManager::Certificate"
            | "AWS::CloudFormation::Stack"
            | "AWS::Serverless::Application"
            | "AWS::ECS::TaskDefinition"
            | "AWS::ECS::Service"
            | "AWS::MSK::Cluster"
            | "AWS::Batch::JobQueue"
            | "AWS::Batch::JobDefinition"
            | "AWS::Batch::ComputeEnvironment"
            | "AWS::SNS::Subscription" => self.arn(kind, name),
            "AWS::KMS::Key" => UUID.to_owned(),
            "AWS::EC2::VPC" => format!("vpc-{hex}"),
            "AWS::EC2::Subnet" => format!("subnet-{hex}"),
            "AWS::EC2::SecurityGroup" => format!("sg-{hex}"),
            "AWS::EC2::VPCEndpoint" => format!("vpce-{hex}"),
            "AWS::EC2::RouteTable" => format!("rtb-{hex}"),
            "AWS::EC2::InternetGateway" => format!("igw-{hex}"),
            "AWS::EC2::Instance" => format!("i-{hex}"),
            "AWS::EFS::FileSystem" => format!("fs-{hex}"),
            "AWS::EFS::AccessPoint" => format!("fsap-{hex}"),
            "AWS::ApiGateway::RestApi"
            | "AWS::ApiGatewayV2::Api"
            | "AWS::Serverless::Api"
            | "AWS::Serverless::HttpApi" => API_ID.to_owned(),
            "AWS::Cognito::UserPool" => format!("{}_tailrace0", self.region),
            "AWS::Cognito::UserPoolClient" => "tailrace000000000000000000".to_owned(),
            "AWS::Cognito::IdentityPool" => format!("{}:{UUID}", self.region),
            "AWS::CloudFront::Distribution" => "ETAILRACE00000".to_owned(),
            "AWS::Route53::HostedZone" => "ZTAILRACE00000".to_owned(),
            "AWS::CloudFormation::WaitConditionHandle" => {
                format!("https://cloudformation.{}.amazonaws.com/{name}", self.region)
            }
            _ if kind.starts_with("AWS::ElasticLoadBalancingV2::") => self.arn(kind, name),
            _ => name.to_owned(),
        }
    }

    /// What `Fn::GetAtt` gives for an attribute of such a resource.
    pub(crate) fn attribute(self, kind: &str, name: &str, attribute: &str) -> String {
        let Place { region, .. } = self;
        let service = service(kind);
        if let Some(output) = attribute.strip_prefix("Outputs.") {
            return self.named(output);
        }
        match attribute {
            "Endpoint.Port" | "Port" | "ConfigurationEndPoint.Port" | "PrimaryEndPoint.Port"
                if service == "elasticache" =>
            {
                "6379".to_owned()
            }
            "Endpoint.Port" | "Port" if service == "rds" => "5432".to_owned(),
            _ if attribute.ends_with(".Port") => "443".to_owned(),
            _ if attribute.ends_with(".Address") => format!("{name}.tailrace.{region}.{service}.amazonaws.com"),
            "DomainName" if service == "s3" => format!("{name}.s3.amazonaws.com"),
            "RegionalDomainName" if service == "s3" => format!("{name}.s3.{region}.amazonaws.com"),
            "DualStackDomainName" if service == "s3" => format!("{name}.s3.dualstack.{region}.amazonaws.com"),
            "WebsiteURL" => format!("http://{name}.s3-website-{region}.amazonaws.com"),
            "DomainName" if service == "cloudfront" => "tailrace.cloudfront.net".to_owned(),
            "DomainEndpoint" => format!("search-{name}-tailrace.{region}.es.amazonaws.com"),
            "DNSName" | "LoadBalancer.DNSName" => format!("{name}.{region}.elb.amazonaws.com"),
            "ApiEndpoint" => format!("https://{API_ID}.execute-api.{region}.amazonaws.com"),
            "GraphQLUrl" => format!("https://tailrace.appsync-api.{region}.amazonaws.com/graphql"),
            "RealtimeUrl" => format!("wss://tailrace.appsync-realtime-api.{region}.amazonaws.com/graphql"),
            "FunctionUrl" => format!("https://tailrace.lambda-url.{region}.on.aws/"),
            "ApiKey" => "da2-tailrace".to_owned(),
            "RootResourceId" | "ResourceId" => API_ID.to_owned(),
            "ProviderName" => format!("cognito-idp.{region}.amazonaws.com/{}", self.reference(kind, name)),
            "ProviderURL" => format!("https://cognito-idp.{region}.amazonaws.com/{}", self.reference(kind, name)),
            "ApiId" if service == "appsync" => API_ID.to_owned(),
            "ApiId" | "RestApiId" | "UserPoolId" | "ClientId" | "KeyId" | "VpcId" | "GroupId" => {
                self.reference(kind, name)
            }
            "QueueUrl" => self.queue_url(name),
            "Version" | "VersionId" | "LatestVersionNumber" | "DefaultVersionNumber" => "1".to_owned(),
            "Endpoint" if service == "sagemaker" => name.to_owned(),
            _ if attribute.ends_with("Arn") || attribute.ends_with("ARN") => self.arn(kind, name),
            _ if attribute.ends_with("Url") || attribute.ends_with("URL") || attribute.ends_with("Uri") => {
                format!("https://{name}.{service}.{region}.amazonaws.com")
            }
            _ if attribute.ends_with("Endpoint") => format!("{name}.{service}.{region}.amazonaws.com"),
            _ if attribute.ends_with("Name") => name.to_owned(),
            _ => format!("{name}-{}", attribute.rsplit('.').next().unwrap_or(attribute)),
        }
    }

    /// What stands in for a value of which nothing but a name is known: an export, a parameter, a key of a secret.
    pub(crate) fn named(self, name: &str) -> String {
        let last = name.rsplit(['/', ':']).find(|part| !part.is_empty()).unwrap_or("value");
        let lower = name.to_lowercase();
        let kinds = [
            ("queue", "AWS::SQS::Queue"),
            ("topic", "AWS::SNS::Topic"),
            ("bucket", "AWS::S3::Bucket"),
            ("table", "AWS::DynamoDB::Table"),
            ("secret", "AWS::SecretsManager::Secret"),
            ("statemachine", "AWS::StepFunctions::StateMachine"),
            ("function", "AWS::Lambda::Function"),
            ("lambda", "AWS::Lambda::Function"),
            ("bus", "AWS::Events::EventBus"),
            ("role", "AWS::IAM::Role"),
            ("layer", "AWS::Lambda::LayerVersion"),
            ("stream", "AWS::Kinesis::Stream"),
            ("key", "AWS::KMS::Key"),
        ];
        let kind = kinds.iter().find(|(word, _)| lower.contains(word)).map(|(_, kind)| *kind);
        match kind {
            _ if lower.contains("arn") => self.arn(kind.unwrap_or("AWS::CloudFormation::Stack"), last),
            Some("AWS::SQS::Queue") if lower.contains("url") => self.queue_url(last),
            _ if lower.contains("url") => format!("https://{}.example.com", last.to_lowercase()),
            _ => last.to_owned(),
        }
    }

    fn queue_url(self, name: &str) -> String {
        format!("https://sqs.{}.amazonaws.com/{}/{name}", self.region, self.account)
    }

    fn arn(self, kind: &str, name: &str) -> String {
        let Place { region, account } = self;
        let (service, what) = (service(kind), kind.rsplit("::").next().unwrap_or(kind));
        let regional = |resource: String| format!("arn:aws:{service}:{region}:{account}:{resource}");
        match kind {
            "AWS::S3::Bucket" => format!("arn:aws:s3:::{name}"),
            "AWS::SQS::Queue" | "AWS::SNS::Topic" => regional(name.to_owned()),
            "AWS::SNS::Subscription" => regional(format!("{name}:{UUID}")),
            "AWS::StepFunctions::StateMachine" | "AWS::Serverless::StateMachine" => {
                regional(format!("stateMachine:{name}"))
            }
            "AWS::Events::EventBus" => regional(format!("event-bus/{name}")),
            "AWS::SecretsManager::Secret" => regional(format!("secret:{name}-000000")),
            "AWS::KMS::Key" => regional(format!("key/{UUID}")),
            "AWS::Logs::LogGroup" => regional(format!("log-group:{name}:*")),
            "AWS::Lambda::LayerVersion" => regional(format!("layer:{name}:1")),
            "AWS::Lambda::Function" => regional(format!("function:{name}")),
            "AWS::Cognito::UserPool" => regional(format!("userpool/{region}_tailrace0")),
            "AWS::AppSync::GraphQLApi" => regional("apis/tailrace".to_owned()),
            "AWS::SSM::Parameter" => regional(format!("parameter/{}", name.trim_start_matches('/'))),
            "AWS::ECS::TaskDefinition" => regional(format!("task-definition/{name}:1")),
            "AWS::RDS::DBCluster" => regional(format!("cluster:{name}")),
            "AWS::RDS::DBInstance" => regional(format!("db:{name}")),
            "AWS::CloudFormation::Stack" | "AWS::Serverless::Application" => regional(format!("stack/{name}/{UUID}")),
            "AWS::IAM::ManagedPolicy" => format!("arn:aws:iam::{account}:policy/{name}"),
            "AWS::IAM::InstanceProfile" => format!("arn:aws:iam::{account}:instance-profile/{name}"),
            "AWS::CloudFront::Distribution" => format!("arn:aws:cloudfront::{account}:distribution/ETAILRACE00000"),
            "AWS::ApiGateway::RestApi" | "AWS::Serverless::Api" => {
                format!("arn:aws:apigateway:{region}::/restapis/{API_ID}")
            }
            "AWS::ElasticLoadBalancingV2::TargetGroup" => regional(format!("targetgroup/{name}/0000000000000000")),
            "AWS::ElasticLoadBalancingV2::LoadBalancer" => {
                regional(format!("loadbalancer/app/{name}/0000000000000000"))
            }
            _ if service == "iam" => format!("arn:aws:iam::{account}:{}/{name}", what.to_lowercase()),
            "AWS::CloudWatch::Alarm" => regional(format!("alarm:{name}")),
            _ => regional(format!("{}/{name}", what.to_lowercase())),
        }
    }
}

/// The service of a type, as ARNs and hosts have it.
fn service(kind: &str) -> String {
    let written = kind.split("::").nth(1).unwrap_or(kind);
    match written {
        "StepFunctions" => "states",
        "KinesisFirehose" => "firehose",
        "OpenSearchService" | "Elasticsearch" => "es",
        "Cognito" => "cognito-idp",
        "CertificateManager" => "acm",
        "MSK" => "kafka",
        "EFS" => "elasticfilesystem",
        "ElasticLoadBalancingV2" | "ElasticLoadBalancing" => "elasticloadbalancing",
        "Serverless" if kind.ends_with("StateMachine") => "states",
        "Serverless" if kind.ends_with("Api") => "execute-api",
        "Serverless" if kind.ends_with("Application") => "cloudformation",
        "Serverless" => "lambda",
        other => return other.to_lowercase(),
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Place<'static> = Place { region: "eu-west-1", account: "000000000000" };

    #[test]
    fn what_ref_gives_has_the_form_that_it_has_on_aws() {
        for (kind, expected) in [
            ("AWS::SQS::Queue", "https://sqs.eu-west-1.amazonaws.com/000000000000/n"),
            ("AWS::SNS::Topic", "arn:aws:sns:eu-west-1:000000000000:n"),
            ("AWS::S3::Bucket", "n"),
            ("AWS::StepFunctions::StateMachine", "arn:aws:states:eu-west-1:000000000000:stateMachine:n"),
            ("AWS::SecretsManager::Secret", "arn:aws:secretsmanager:eu-west-1:000000000000:secret:n-000000"),
            ("AWS::Events::EventBus", "n"),
            ("AWS::Cognito::UserPool", "eu-west-1_tailrace0"),
            ("AWS::EC2::VPC", "vpc-00000000000000000"),
            ("Custom::Thing", "n"),
        ] {
            assert_eq!(HERE.reference(kind, "n"), expected, "{kind}");
        }
    }

    #[test]
    fn what_getatt_gives_has_the_form_that_it_has_on_aws() {
        for (kind, attribute, expected) in [
            ("AWS::SQS::Queue", "Arn", "arn:aws:sqs:eu-west-1:000000000000:n"),
            ("AWS::SQS::Queue", "QueueName", "n"),
            ("AWS::SQS::Queue", "QueueUrl", "https://sqs.eu-west-1.amazonaws.com/000000000000/n"),
            ("AWS::SNS::Topic", "TopicArn", "arn:aws:sns:eu-west-1:000000000000:n"),
            ("AWS::S3::Bucket", "Arn", "arn:aws:s3:::n"),
            ("AWS::S3::Bucket", "RegionalDomainName", "n.s3.eu-west-1.amazonaws.com"),
            ("AWS::IAM::Role", "Arn", "arn:aws:iam::000000000000:role/n"),
            ("AWS::Events::EventBus", "Arn", "arn:aws:events:eu-west-1:000000000000:event-bus/n"),
            ("AWS::Kinesis::Stream", "Arn", "arn:aws:kinesis:eu-west-1:000000000000:stream/n"),
            ("AWS::OpenSearchService::Domain", "DomainEndpoint", "search-n-tailrace.eu-west-1.es.amazonaws.com"),
            ("AWS::RDS::DBCluster", "Endpoint.Address", "n.tailrace.eu-west-1.rds.amazonaws.com"),
            ("AWS::RDS::DBCluster", "Endpoint.Port", "5432"),
            ("AWS::ApiGatewayV2::Api", "ApiEndpoint", "https://tailrace00.execute-api.eu-west-1.amazonaws.com"),
            ("AWS::CloudFormation::Stack", "Outputs.TopicArn", "arn:aws:sns:eu-west-1:000000000000:TopicArn"),
            ("Custom::Thing", "Answer", "n-Answer"),
        ] {
            assert_eq!(HERE.attribute(kind, "n", attribute), expected, "{kind} {attribute}");
        }
    }

    #[test]
    fn a_name_alone_is_guessed_from() {
        for (name, expected) in [
            ("/app/prod/queue-url", "https://sqs.eu-west-1.amazonaws.com/000000000000/queue-url"),
            ("shared:OrdersTopicArn", "arn:aws:sns:eu-west-1:000000000000:OrdersTopicArn"),
            ("/app/stage", "stage"),
            ("/", "value"),
        ] {
            assert_eq!(HERE.named(name), expected, "{name}");
        }
    }
}
